"""From a request's bytes to JSON. Apart from ``validation``, which imports pydantic: slow."""

from __future__ import annotations

import json
from typing import Any

from mlxoss.core import JsonObject
from mlxoss.errors import InvalidRequest

MAX_DEPTH = 128
"""Of arrays and objects within each other. What walks a request later does so by recursion."""


def parse_json_object(body: bytes) -> JsonObject:
    """The JSON object in ``body``. Raises InvalidRequest for anything else.

    NaN and infinities pass here, so that the model that knows the field can
    refuse them by its name.
    """
    try:
        value = json.loads(body)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidRequest(
            f"The body of the request is not valid JSON: {error}", code="invalid_json"
        ) from None
    if is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    if not isinstance(value, dict):
        raise InvalidRequest("The body of the request must be a JSON object.", code="invalid_json")
    return value


def is_deeper(value: object, most: int) -> bool:
    """Whether ``value`` has more than ``most`` levels of arrays and objects."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole)
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def _too_deep() -> InvalidRequest:
    return InvalidRequest(
        f"The body of the request is nested more than {MAX_DEPTH} levels deep.",
        code="invalid_json",
    )
