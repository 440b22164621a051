"""The server's own description as a judge of what it answers."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.http import Answer, ask
from tests.support.server.harness import Server, sse_payloads


class Contract:
    """What ``/openapi.json`` of ``server`` promises."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.document: dict[str, Any] = ask(server, "GET", "/openapi.json").json

    @property
    def operations(self) -> set[tuple[str, str]]:
        """Method and path of each operation."""
        paths = self.document["paths"]
        return {(method.upper(), path) for path, item in paths.items() for method in item}

    def ask(self, method: str, path: str, **fields: Any) -> Answer:
        """Send ``fields`` as JSON, check the answer against the description, return it."""
        body = json.dumps(fields).encode() if fields else None
        answer = ask(self._server, method, path, body, {"content-type": "application/json"})
        self.check(method, path, answer)
        return answer

    def check(self, method: str, path: str, answer: Answer) -> None:
        """Status, content type and every byte of the body are as described."""
        described = self._operation(method, path)["responses"][str(answer.status)]
        if "content" not in described:
            assert answer.body == b""
            return
        kind = answer.headers["content-type"].partition(";")[0]
        media = described["content"][kind]
        if kind == "application/json":
            self.check_value(media["schema"], answer.json)
            return
        if media.get("schema") == {"type": "string"}:
            assert answer.body.decode()
            return
        if kind == "application/x-ndjson":
            for line in answer.body.splitlines():
                self.check_value(media["x-event-schema"], json.loads(line))
            return
        *events, last = sse_payloads(answer.body)
        # Anthropic's streams end with an event of theirs.
        events += [] if last == b"[DONE]" else [last]
        assert last == b"[DONE]" or json.loads(last)["type"] == "message_stop"
        for event in events:
            self.check_value(media["x-event-schema"], json.loads(event))

    def check_value(self, schema: dict[str, Any], value: Any) -> None:
        """``value`` is as ``schema`` says, the document's components at hand."""
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole).validate(value)

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in item:
                operation: dict[str, Any] = item[method.lower()]
                return operation
        raise AssertionError(f"{method} {path} is not described")
