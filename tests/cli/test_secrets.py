"""Nobody's words, keys or tokens in logs, process lists, definitions or errors."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import write_checkpoint
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.mac import Mac
from tests.support.cli.runner import mlxoss

WORDS = "canary-7f3a91"
"""Stands in everything that a client sends and nobody else should see."""

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "look", "description": WORDS, "parameters": {"type": "object"}},
}
CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": json.dumps({"where": WORDS})},
}
CHAT: dict[str, Any] = {
    "model": "any",
    "messages": [
        {"role": "system", "content": WORDS},
        {"role": "user", "content": f"Look for {WORDS}!"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": WORDS},
    ],
    "tools": [TOOL],
    "max_tokens": 4,
    "user": WORDS,
    "metadata": {"note": WORDS},
}
RESPONSE: dict[str, Any] = {
    "model": "any",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": WORDS}]}],
    "instructions": WORDS,
    "max_output_tokens": 16,
    "metadata": {"note": WORDS},
}
# Each with what is wrong about it; where words may stand they do.
REFUSED: list[dict[str, Any]] = [
    {"messages": WORDS},
    {"messages": [WORDS]},
    {"messages": [{"role": "user", "content": [WORDS]}]},
    {"messages": [{"role": "user", "content": {"text": WORDS}}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": [WORDS]}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": WORDS}]}]},
    {"messages": [{"role": "tool", "tool_call_id": [WORDS], "content": WORDS}]},
    {"messages": [{"role": "user", "content": f"{WORDS} \ud800", "name": 7}]},
    {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": WORDS}]}]},
    {"messages": [{"role": "user", "content": WORDS * 20_000}]},
    {"stop": {"text": WORDS}},
    {"temperature": WORDS},
    {"logit_bias": {WORDS: 1}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": WORDS}}},
    {"response_format": {"type": "json_schema", "json_schema": WORDS}},
    {"tools": [WORDS]},
    {"tools": [{"type": "function", "function": {"name": "x", "parameters": WORDS}}]},
]
REFUSED_RESPONSES: list[dict[str, Any]] = [
    {"input": [WORDS]},
    {"input": {"text": WORDS}},
    {"input": [{"type": "function_call_output", "call_id": 7, "output": WORDS}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": WORDS}]}]},
    {"input": [{"type": "compaction", "encrypted_content": WORDS}]},
    {"instructions": [WORDS]},
    {"metadata": {"note": [WORDS]}},
    {"input": WORDS * 20_000},
    {"messages": [{"role": "user", "content": WORDS}]},
]

ENDLESS = {"200002": -100, "200007": -100, "200012": -100}
"""No message comes to its end: random weights end one now and then."""


class Caller:
    """Asks, and keeps every error that it is answered with."""

    def __init__(self, daemon: Daemon, key: str) -> None:
        self.daemon, self.key = daemon, key
        self.errors: list[str] = []

    def post(self, path: str, body: bytes, *, key: str | None = None, **headers: str) -> int:
        sent = {"content-type": "application/json", "cookie": WORDS, "x-note": WORDS} | headers
        sent["authorization"] = f"Bearer {key or self.key}"
        asked = urllib.request.Request(f"{self.daemon.url}{path}", body, sent)
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                text, status = answer.read().decode(), answer.status
        except urllib.error.HTTPError as error:
            with error:
                text, status = error.read().decode(), error.code
        if status >= 400 or '"error":{' in text or "event: error" in text:
            self.errors.append(text.partition("event: error")[2] or text)
        return int(status)

    def chat(self, **fields: Any) -> int:
        return self.post("/v1/chat/completions", json.dumps(CHAT | fields).encode())

    def respond(self, **fields: Any) -> int:
        return self.post("/v1/responses", json.dumps(RESPONSE | fields).encode())


def ask_everything(caller: Caller) -> None:
    """Turns that succeed, are refused, time out, and lose their client."""
    assert {caller.chat(), caller.chat(stream=True)} == {200}
    assert {caller.respond(), caller.respond(stream=True), caller.respond(store=False)} == {200}
    taken = [fields for fields in REFUSED if caller.chat(**fields) != 400]
    taken += [fields for fields in REFUSED_RESPONSES if caller.respond(**fields) != 400]
    assert taken == []
    elsewhere = {"type": "reasoning", "summary": [], "encrypted_content": WORDS}
    asked = {"role": "user", "content": WORDS}
    assert caller.respond(input=[asked, elsewhere, asked]) == 200
    for body in (f'{{"messages": "{WORDS}', f'"{WORDS}"', f"[{WORDS}]", "\xff" + WORDS):
        assert caller.post("/v1/chat/completions", body.encode("latin-1")) == 400
    assert caller.post("/v1/responses", b"{}", key=f"mlx-{WORDS}") == 401
    assert caller.post("/v1/responses", b"{}", host="elsewhere.example") == 403
    assert caller.post("/v1/responses", b"{}", **{"content-type": "text/plain"}) == 415
    assert caller.chat(max_tokens=100_000, logit_bias=ENDLESS) == 504
    assert caller.chat(max_tokens=100_000, stream=True) == 200  # with an error event
    leave(caller)


def leave(caller: Caller) -> None:
    port = int(str(caller.daemon.url).rpartition(":")[2])
    body = json.dumps(CHAT | {"stream": True, "max_tokens": 100_000}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {caller.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head.encode() + body)
        connection.recv(1)


def texts(*folders: Path) -> Iterator[str]:
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                yield file.read_bytes().decode("utf-8", "replace")


def shown_by_ps(pid: int) -> str:
    """The words and the environment of a process."""
    if not Path("/proc/self").exists():
        pytest.skip("another process's environment is read from /proc")
    return "".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ"))


@pytest.mark.slow
def test_nothing_that_a_client_sent_is_seen_elsewhere(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model")
    key = mlxoss(tmp_path, "key", "create", "app").stdout.split()[-1]
    assert key.startswith("mlx-")
    logs = tmp_path / "logs"
    flags = (
        "--log-file",
        str(logs / "x.log"),
        "--request-timeout",
        "2",
        "--context-length",
        "2048",
    )
    with start_daemon(tmp_path, "--model", str(model), *flags) as daemon:
        daemon.wait_until(lambda: daemon.health()["status"] != "loading")
        token = next(iter(tmp_path.rglob("local.token"))).read_text()
        caller = Caller(daemon, key)
        ask_everything(caller)
        process = shown_by_ps(daemon.process.pid)
        assert daemon.stop(signal.SIGTERM) == 0
    assert len(caller.errors) >= len(REFUSED) + len(REFUSED_RESPONSES) + 8
    log = "".join(texts(logs))
    assert log.count("POST /v1/chat/completions") > len(REFUSED)
    for secret in (WORDS, key, key[4:], token):
        assert secret not in log
        assert secret not in process
        assert secret not in "".join(daemon.said)
        # A field may be named to its sender, also one whose name the sender chose.
        told = [error.replace(f"logit_bias.{WORDS}", "") for error in caller.errors]
        assert not [error for error in told if secret in error]


def test_a_service_is_started_with_no_secret(mac: Mac) -> None:
    done = mac("install", "--model", str(mac.model), "--env", f"HF_TOKEN=hf_{WORDS}")
    assert done.returncode != 0
    assert "HF_TOKEN looks like a secret" in done.stderr
    assert WORDS not in done.stderr
    own = {"HF_TOKEN": WORDS, "MLXOSS_API_KEY": WORDS, "HTTPS_PROXY": f"http://me:{WORDS}@proxy"}
    done = mac("install", "--model", str(mac.model), "--port", str(mac.port), **own)
    assert done.returncode == 0, done.stderr
    pid = mac.loaded()["job"]["pid"]
    assert WORDS not in mac.plist.read_text()
    assert WORDS not in shown_by_ps(pid)
    assert WORDS not in "".join(texts(mac.folder))
