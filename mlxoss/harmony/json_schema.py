"""Questions to a JSON schema whose parts may all be malformed. Nothing here raises."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from mlxoss.harmony.conversation import JsonSchema

Schema = Mapping[str, Any]

MAX_REFERENCE_HOPS = 8
"""References followed in search of a description."""

_ANNOTATIONS = frozenset(
    {
        "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default",
        "examples",
    }
)  # fmt: skip
"""Keywords that allow and forbid nothing."""

_PROPERTIES = frozenset({"properties", "patternProperties", "required"})
"""Keywords that are as good as absent while empty."""

_LINE_END = re.compile("\r\n|[\n\r\u2028\u2029]")


def lines(text: str) -> list[str]:
    """The lines of ``text`` without a last empty one."""
    found = _LINE_END.split(text)
    return found if found[-1] else found[:-1]


def one_line(text: str) -> str:
    """``text`` with its lines joined by spaces, so that a ``//`` comment can hold it."""
    return " ".join(line.strip() for line in lines(text)).strip()


def literal(value: object) -> str:
    """``value`` as compact JSON; ``any`` for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
    except (TypeError, ValueError, RecursionError):
        return "any"


def text(schema: Schema, key: str) -> str:
    """The string under ``key``, else an empty one."""
    value = schema.get(key)
    return value if isinstance(value, str) else ""


def mapping(schema: Schema, key: str) -> Schema:
    """The object under ``key``, else an empty one."""
    value = schema.get(key)
    return value if isinstance(value, Mapping) else {}


def subschemas(schema: Schema, key: str) -> Sequence[object]:
    """The list under ``key``, else an empty one."""
    value = schema.get(key)
    return value if isinstance(value, list | tuple) else ()


def required(schema: Schema) -> frozenset[str]:
    """The names of required properties."""
    return frozenset(name for name in subschemas(schema, "required") if isinstance(name, str))


def names_no_arguments(parameters: JsonSchema) -> bool:
    """Whether ``parameters`` are those of a function without arguments.

    That is how clients declare one: ``{}``, or an object of which nothing is said but that it
    has no properties. Other properties allowed in so many words are arguments, and so may be
    whatever any other keyword asks for.
    """
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        return False
    if parameters.get("additionalProperties") not in (False, None):
        return False
    said = parameters.keys() - _ANNOTATIONS - {"type", "additionalProperties"}
    return said <= _PROPERTIES and not any(parameters[key] for key in said)


def property_key(name: str) -> str:
    """``name`` as it stands in a TypeScript object type: quoted unless an identifier."""
    return name if name.replace("$", "_").isidentifier() else literal(name)


def literals(schema: Schema) -> list[str] | None:
    """The values of ``const`` or ``enum`` as JSON, ``None`` when any value is allowed."""
    if "const" in schema:
        return [literal(schema["const"])]
    values = subschemas(schema, "enum")
    return [literal(value) for value in values] if values else None


def type_names(schema: Schema) -> list[str]:
    """The names under ``type``; without one, what the other keywords speak of."""
    declared = schema.get("type")
    if isinstance(declared, str):
        return [declared]
    if isinstance(declared, list | tuple):
        return [name for name in declared if isinstance(name, str)]
    if mapping(schema, "properties") or mapping(schema, "patternProperties"):
        return ["object"]
    if isinstance(schema.get("additionalProperties"), Mapping):
        return ["object"]
    return ["array"] if "items" in schema or "prefixItems" in schema else []


def is_bare(schema: Schema) -> bool:
    """Whether the schema's own keywords say no more than a type's name, if that."""
    details = ("properties", "patternProperties", "items", "prefixItems", "const", "enum")
    others = schema.get("additionalProperties")
    return not any(key in schema for key in details) and not (
        others is True or isinstance(others, Mapping)
    )


def array_items(schema: Schema) -> tuple[Sequence[object], object]:
    """The schemas of an array's first items and of the rest, ``None`` when not given.

    Reads both ``prefixItems`` with ``items`` and the older ``items`` list with
    ``additionalItems``.
    """
    items = schema.get("items")
    if isinstance(items, list | tuple):
        return items, schema.get("additionalItems")
    return subschemas(schema, "prefixItems"), items


def resolve(root: object, reference: str) -> object:
    """What ``reference`` (``#``, ``#/$defs/Name``) points to in ``root``; ``True`` if nothing."""
    if not reference.startswith("#"):
        return True
    node: Any = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list | tuple) and (index := _index(name)) < len(node):
            node = node[index]
        else:
            return True
    return node


def _index(name: str) -> int:
    """``name`` as a list index; past the end of any list when it is none."""
    return int(name) if name.isdecimal() and len(name) < 10 else sys.maxsize


def reference_name(reference: str) -> str | None:
    """The last part of ``reference`` when it can stand as a type's name."""
    name = unquote(reference).rpartition("/")[2]
    return name if name.isidentifier() else None


def description(root: object, schema: object) -> str:
    """The schema's description, else that of the schema it refers to."""
    for _ in range(MAX_REFERENCE_HOPS):
        if not isinstance(schema, Mapping):
            break
        if found := text(schema, "description"):
            return found
        parts = subschemas(schema, "allOf")
        if isinstance(reference := schema.get("$ref"), str):
            schema = resolve(root, reference)
        elif len(parts) == 1:
            schema = parts[0]
        else:
            break
    return ""


def item_description(root: object, schema: object) -> str:
    """The description of an array's items on one line: no property comment shows it."""
    for _ in range(MAX_REFERENCE_HOPS):
        if not isinstance(schema, Mapping) or "items" not in schema:
            break
        schema = schema["items"]
        if found := description(root, schema):
            return one_line(found)
    return ""


def default_note(schema: Schema) -> str:
    """``default: …`` as openai-harmony writes it: a string of an enum goes unquoted."""
    if "default" not in schema:
        return ""
    value = schema["default"]
    if isinstance(value, str) and subschemas(schema, "enum") and len(lines(value)) == 1:
        return f"default: {value}"
    return f"default: {literal(value)}"


def note(root: object, variant: object, above: str = "") -> str:
    """What a variant's line says behind its type, unless ``above`` already says it."""
    if not isinstance(variant, Mapping):
        return ""
    found = description(root, variant)
    parts = ["" if found == above else one_line(found), default_note(variant)]
    return " ".join(part for part in parts if part)


def examples(schema: Schema) -> list[str]:
    """The schema's examples as JSON."""
    return [literal(example) for example in subschemas(schema, "examples")]


def listed_variants(root: object, schema: Schema) -> Sequence[object]:
    """The variants of a property that is shown one variant a line, else nothing.

    ``oneOf`` always is, as openai-harmony does; ``anyOf`` only when a variant has
    something to say, so that an optional value stays ``string | null``.
    """
    combined = [key for key in ("$ref", "oneOf", "anyOf", "allOf") if key in schema]
    if len(combined) != 1 or not is_bare(schema):
        return ()
    variants = subschemas(schema, combined[0])
    listed = combined[0] == "oneOf" or (
        combined[0] == "anyOf" and any(note(root, variant) for variant in variants)
    )
    if not listed or not variants:
        return ()
    return [*variants, {"type": "null"}] if schema.get("nullable") is True else variants
