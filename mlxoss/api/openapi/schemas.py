"""JSON schemas of the types that go over endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

_REFERENCE = "#/components/schemas/{model}"


class Schemas:
    """The schemas of ``types`` and of what these are made of, each once. Takes a tenth of a second.

    ``components`` are all of them by their names, sorted.
    """

    def __init__(self, types: Iterable[type]) -> None:
        inputs: list[tuple[type, JsonSchemaMode, TypeAdapter[Any]]] = [
            (each, "validation", TypeAdapter(each)) for each in dict.fromkeys(types)
        ]
        self._of_types, whole = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE)
        schemas: Mapping[str, dict[str, Any]] = whole["$defs"]
        self.components = {name: _strip(schemas[name]) for name in sorted(schemas)}

    def refer(self, *types: type) -> dict[str, Any]:
        """The schema of what is of one of ``types``."""
        references = [self._of_types[each, "validation"] for each in types]
        return references[0] if len(references) == 1 else {"anyOf": references}


def _strip(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without the titles that repeat names, and without defaults of ``null``.

    Only what is a schema is looked into: a property may well be called ``title``.
    """
    stripped: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title" or (key == "default" and value is None):
            continue
        stripped[key] = _strip_within(key, value)
    return stripped


def _strip_within(key: str, value: Any) -> Any:
    match key, value:
        case (("properties" | "patternProperties"), dict()):
            return {name: _strip(part) for name, part in value.items()}
        case (("items" | "additionalProperties" | "propertyNames"), dict()):
            return _strip(value)
        case (("anyOf" | "oneOf" | "allOf"), list()):
            return [_strip(part) for part in value]
        case _:
            return value
