"""Schemas that several tests are made of."""

from __future__ import annotations

from typing import Any


def properties(required: tuple[str, ...] = (), /, **schemas: Any) -> dict[str, Any]:
    return {"type": "object", "properties": schemas, "required": list(required)}


STRING = {"type": "string"}


def nested(levels: int, wrap: Any) -> Any:
    schema: Any = STRING
    for _ in range(levels):
        schema = wrap(schema)
    return schema
