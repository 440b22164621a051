"""From a request's bytes to JSON. Apart from ``validation``, which imports pydantic: slow."""

from __future__ import annotations

import json
from typing import Any

from mlxoss.errors import InvalidRequest


def parse_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. Raises InvalidRequest for anything else.

    NaN and infinities pass here, so that the model that knows the field can
    refuse them by its name.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(
            f"The body of the request is not valid JSON: {reason}", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body of the request must be a JSON object.", code="invalid_json")
    return value
