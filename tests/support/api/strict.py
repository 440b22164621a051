"""OpenAI's own types as strict judges: nothing missing, nothing they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pydantic
from openai.types.responses import (
    Response,
    ResponseCustomToolCall,
    ResponseStreamEvent,
)
from openai.types.responses.response_custom_tool_call_output import ResponseCustomToolCallOutput

KNOWN_EXTRAS: dict[type[pydantic.BaseModel], frozenset[str]] = {
    # Open Responses requires these, and OpenAI's API answers with the first.
    Response: frozenset({"store", "presence_penalty", "frequency_penalty"}),
    # As in OpenAI's own answers; the types of listed items require it.
    ResponseCustomToolCall: frozenset({"status"}),
    ResponseCustomToolCallOutput: frozenset({"status"}),
}


@cache
def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)


def check(kind: Any, value: Mapping[str, Any]) -> Any:
    """Validate ``value`` as ``kind`` and return it as that."""
    judged = _adapter(kind).validate_python(value)
    _refuse_unknown(judged)
    return judged


def check_response(value: Mapping[str, Any]) -> Response:
    """As ``check``; a response also has every field there is."""
    missing = set(Response.model_fields) - set(value)
    assert not missing, f"fields without a value: {missing}"
    for name in ("temperature", "top_p", "top_logprobs", "presence_penalty", "frequency_penalty"):
        assert isinstance(value[name], int | float), f"{name} is no number"
    judged = check(Response, value)
    assert isinstance(judged, Response)
    return judged


def check_event(value: Mapping[str, Any]) -> None:
    """As ``check``, for one event of a stream; its response is checked too."""
    check(ResponseStreamEvent, value)
    if "response" in value:
        check_response(value["response"])


def _refuse_unknown(value: Any) -> None:
    match value:
        case pydantic.BaseModel():
            unknown = set(value.model_extra or ()) - KNOWN_EXTRAS.get(type(value), frozenset())
            assert not unknown, f"{type(value).__name__} has no {unknown}"
            for name in type(value).model_fields:
                _refuse_unknown(getattr(value, name))
        case dict():
            for one in value.values():
                _refuse_unknown(one)
        case list() | tuple():
            for one in value:
                _refuse_unknown(one)
