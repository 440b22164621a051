"""A streamed response as a server sends it, one that ran tools among them.

Source: OpenAI's types of the items and events of responses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DONE = b"data: [DONE]\n\n"
PLOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA"
    "60e6kgAAAABJRU5ErkJggg=="
)
"""A pixel."""


def event(kind: str, **fields: object) -> bytes:
    """An event of ``kind``, as it is sent."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def reasoned(text: str, at: int = 0) -> bytes:
    """A piece of reasoning."""
    return event("response.reasoning_text.delta", item_id="rs_1", output_index=at, delta=text)


def said(text: str, at: int = 0) -> bytes:
    """A piece of the answer."""
    return event("response.output_text.delta", item_id="msg_1", output_index=at, delta=text)


def item_done(item: Mapping[str, Any], at: int = 0) -> bytes:
    """An item is whole."""
    return event("response.output_item.done", output_index=at, item=item)


def ended(*output: Mapping[str, Any], reason: str | None = None) -> bytes:
    """The last event, with the whole ``output``; ``reason`` says why it is incomplete."""
    status = "incomplete" if reason else "completed"
    details = {"reason": reason} if reason else None
    response = {"status": status, "output": output, "incomplete_details": details, "error": None}
    return event(f"response.{status}", response=response) + DONE


def failed(message: str) -> bytes:
    """The last event of a response that broke."""
    error = {"code": "server_error", "message": message}
    return event("response.failed", response={"status": "failed", "error": error, "output": []})


def added(at: int, item: Mapping[str, Any]) -> bytes:
    """An item begins."""
    return event("response.output_item.added", output_index=at, item=item)


def python_call(code: str, logs: str, *images: str, status: str = "completed") -> dict[str, Any]:
    """A cell that was run."""
    outputs = [
        {"type": "logs", "logs": logs},
        *({"type": "image", "url": url} for url in images),
    ]
    return {
        "type": "code_interpreter_call",
        "id": f"ci_{len(code)}",
        "container_id": "cntr_1",
        "code": code,
        "outputs": outputs,
        "status": status,
    }


def web_call(status: str = "completed", **action: Any) -> dict[str, Any]:
    """A call of the browser: ``action`` as the item has it."""
    name = f"ws_{action['type']}"
    return {"type": "web_search_call", "id": name, "action": action, "status": status}


def run_python(at: int, item: Mapping[str, Any]) -> bytes:
    """All events of a cell."""
    own = {"output_index": at, "item_id": item["id"]}
    begun = {**item, "code": "", "outputs": None, "status": "in_progress"}
    code = item["code"]
    return b"".join(
        (
            added(at, begun),
            event("response.code_interpreter_call.in_progress", **own),
            event("response.code_interpreter_call_code.delta", **own, delta=code[:5]),
            event("response.code_interpreter_call_code.delta", **own, delta=code[5:]),
            event("response.code_interpreter_call_code.done", **own, code=code),
            event("response.code_interpreter_call.interpreting", **own),
            event("response.code_interpreter_call.completed", **own),
            item_done(item, at),
        )
    )


def run_web(at: int, item: Mapping[str, Any]) -> bytes:
    """All events of a call of the browser."""
    own = {"output_index": at, "item_id": item["id"]}
    begun = {**item, "action": {"type": "search", "query": ""}, "status": "in_progress"}
    return b"".join(
        (
            added(at, begun),
            event("response.web_search_call.in_progress", **own),
            event("response.web_search_call.searching", **own),
            event("response.web_search_call.completed", **own),
            item_done(item, at),
        )
    )


def citation(text: str, mark: str, title: str, url: str) -> dict[str, Any]:
    """What ``mark``, where it is in ``text`` first, cites."""
    start = text.index(mark)
    end = start + len(mark)
    return {
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "title": title,
        "url": url,
    }


def answered(at: int, text: str, *citations: Mapping[str, Any]) -> bytes:
    """All events of the answer's message, and of the response's end with it alone."""
    own = {"output_index": at, "item_id": "msg_1", "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": list(citations), "logprobs": []}
    item = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "phase": "final_answer",
        "status": "completed",
        "content": [part],
    }
    return b"".join(
        (
            added(at, {**item, "content": [], "status": "in_progress"}),
            *_deltas(own, text, citations),
            item_done(item, at),
            ended(item),
        )
    )


def _deltas(
    own: Mapping[str, Any], text: str, citations: Sequence[Mapping[str, Any]]
) -> Iterator[bytes]:
    """Each character by itself, but what is cited whole, with its citation behind it."""
    kind, at = "response.output_text", 0
    for number, each in enumerate(citations):
        start, end = each["start_index"], each["end_index"]
        if at <= start < end <= len(text):
            yield from (event(f"{kind}.delta", **own, delta=char) for char in text[at:start])
            yield event(f"{kind}.delta", **own, delta=text[start:end])
            at = end
        yield event(f"{kind}.annotation.added", **own, annotation=each, annotation_index=number)
    yield from (event(f"{kind}.delta", **own, delta=char) for char in text[at:])
