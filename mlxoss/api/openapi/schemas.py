"""JSON schemas of the types that go over endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from typing_extensions import TypeAliasType

from mlxoss.core import JsonObject

_REFERENCE = "#/components/schemas/{model}"


Shape = type | TypeAliasType
"""A pydantic model, a ``TypedDict``, or a name for several of these."""

_CLOSED = ConfigDict(extra="forbid")
"""For answers: nothing is in them that is not in their shapes. Requests have settings of theirs."""


class Schemas:
    """The schemas of ``shapes`` and of what these are made of, each once.

    ``components`` are all of them by their names, sorted. Takes a tenth of a second.
    """

    def __init__(self, shapes: Iterable[Shape]) -> None:
        numbered = dict(enumerate(dict.fromkeys(shapes)))
        inputs: list[tuple[int, JsonSchemaMode, TypeAdapter[Any]]] = [
            # A list, since a config goes to what has none of its own inside a type.
            (number, "validation", TypeAdapter(list[shape], config=_CLOSED))  # type: ignore[valid-type]
            for number, shape in numbered.items()
        ]
        lists, whole = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE)
        schemas: Mapping[str, JsonObject] = whole["$defs"]
        self.components = {name: _strip(schemas[name]) for name in sorted(schemas)}
        self._references = {
            shape: lists[number, "validation"]["items"] for number, shape in numbered.items()
        }

    def refer(self, *shapes: Shape) -> JsonObject:
        """The schema of what is of one of ``shapes``."""
        references = [self._references[each] for each in shapes]
        return references[0] if len(references) == 1 else {"anyOf": references}


def _strip(schema: JsonObject) -> JsonObject:
    """``schema`` without the titles that repeat names, and without defaults of ``null``.

    Only what is a schema is looked into: a property may well be called ``title``.
    """
    stripped: JsonObject = {}
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
