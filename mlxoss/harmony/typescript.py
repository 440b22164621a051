"""JSON schema to the TypeScript that Harmony shows the model.

The layout is openai-harmony's (``src/encoding.rs``, ``json_schema_to_typescript``):
``//`` comments above a property, its default behind it, ``oneOf`` one variant a line.
Where that function loses meaning this one does not: ``anyOf``, ``allOf``, ``$ref``,
``const``, literals of any type, index signatures, tuples, unions inside arrays,
comments of several lines and property names that are no identifiers.

It never raises. What it cannot express, and what lies deeper than ``MAX_DEPTH`` or
behind more references than ``MAX_REFERENCED_CHARS`` allows, becomes ``any``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlxoss.harmony import json_schema as schemas
from mlxoss.harmony.conversation import JsonSchema

MAX_DEPTH = 32
"""Levels of nesting; real tools stay below ten."""

MAX_REFERENCED_CHARS = 100_000
"""What references may add to one type, since each use repeats its target in full."""

_CHARS_PER_JSON_CHAR = 8
"""More than a schema's own text ever needs, indents and all."""

_SCALARS = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}

Schema = Mapping[str, Any]


def render_type(schema: JsonSchema) -> str:
    """The type of a function's argument; the schema's own description goes before it."""
    at = _Place()
    rendered = _Renderer(schema).render(schema, at)
    description = schemas.description(schema, schema)
    return "".join(f"{line}\n" for line in render_comment(description)) + rendered.text


def render_comment(text: str, indent: str = "") -> list[str]:
    """``text`` as ``//`` lines without line ends; nothing for an empty text."""
    return [f"{indent}// {line}" for line in schemas.lines(text)]


@dataclass(frozen=True, slots=True)
class _Type:
    """Rendered TypeScript.

    ``is_loose`` when ``[]`` or ``&`` beside it needs parentheses; ``members`` are those
    of a union on one line, so that a union of unions repeats none.
    """

    text: str
    is_loose: bool = False
    members: tuple[_Type, ...] = ()

    @property
    def tight(self) -> str:
        return f"({self.text})" if self.is_loose else self.text


_ANY = _Type("any")
_NEVER = _Type("never")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the output: its indent, its depth and the references that led there."""

    indent: str = ""
    depth: int = 0
    references: frozenset[str] = field(default_factory=frozenset)

    def inside(self, indent: str = "") -> _Place:
        return replace(self, indent=self.indent + indent, depth=self.depth + 1)

    def through(self, reference: str) -> _Place:
        return replace(self, depth=self.depth + 1, references=self.references | {reference})


class _Renderer:
    """Renders one root schema, to which its references are relative."""

    def __init__(self, root: JsonSchema) -> None:
        self._root = root
        own_chars = _CHARS_PER_JSON_CHAR * len(schemas.literal(root))
        self._chars_left = own_chars + MAX_REFERENCED_CHARS

    def render(self, schema: object, at: _Place) -> _Type:
        if schema is False:
            return _NEVER
        if not isinstance(schema, Mapping) or at.depth > MAX_DEPTH or not self._spend(at, 1):
            return _ANY
        rendered = _intersection(self._parts(schema, at))
        if schema.get("nullable") is True:
            return _union([rendered, _Type("null")])
        return rendered

    def _parts(self, schema: Schema, at: _Place) -> list[_Type]:
        own = self._own(schema, at)
        parts = []
        if isinstance(reference := schema.get("$ref"), str):
            parts.append(self._reference(reference, at))
        is_bare = schemas.is_bare(schema)
        for key in ("oneOf", "anyOf"):
            if variants := schemas.subschemas(schema, key):
                parts.append(self._variants(variants, own if is_bare else _ANY, at))
        parts += [self.render(part, at.inside()) for part in schemas.subschemas(schema, "allOf")]
        parts = [part for part in parts if part != _ANY]
        return parts if parts and is_bare else [own, *parts]

    def _reference(self, reference: str, at: _Place) -> _Type:
        if reference in at.references:
            return _Type(schemas.reference_name(reference) or "any")
        target = schemas.resolve(self._root, reference)
        return self.render(target, at.through(reference))

    def _variants(self, variants: Sequence[object], own: _Type, at: _Place) -> _Type:
        """One of ``variants``; one that names no type (only ``required``, say) is ``own``."""
        notes = self._notes(variants, "", at)
        place = at.inside("   " if any(notes) else "")
        types = [self.render(variant, place) for variant in variants]
        if all(one == _ANY for one in types):
            return own
        types = [own if one == _ANY else one for one in types]
        if not any(notes):
            return _union(types)
        return _Type(f"(\n{_rows(types, notes, at)}{at.indent})")

    def _notes(self, variants: Iterable[object], above: str, at: _Place) -> list[str]:
        return [
            "" if self._is_spent else self._paid(at, schemas.note(self._root, variant, above))
            for variant in variants
        ]

    def _own(self, schema: Schema, at: _Place) -> _Type:
        """The type by the schema's own keywords, without what it combines."""
        if (literals := schemas.literals(schema)) is not None:
            if not self._spend(at, sum(map(len, literals))):
                return _ANY
            return _union([_Type(literal) for literal in literals])
        names = schemas.type_names(schema)
        return _union([self._named(name, schema, at) for name in names]) if names else _ANY

    def _named(self, name: str, schema: Schema, at: _Place) -> _Type:
        if name == "object":
            return self._object(schema, at)
        if name == "array":
            return self._array(schema, at)
        return _Type(_SCALARS.get(name, "any"))

    def _array(self, schema: Schema, at: _Place) -> _Type:
        first, rest = schemas.array_items(schema)
        if first:
            places = [self.render(item, at.inside()).text for item in first]
            if rest is not None and rest is not False:
                places.append(f"...{self.render(rest, at.inside()).tight}[]")
            return _Type(f"[{', '.join(places)}]")
        if rest is None:
            return _Type("Array<any>")
        return _Type(f"{self.render(rest, at.inside()).tight}[]")

    def _object(self, schema: Schema, at: _Place) -> _Type:
        required = schemas.required(schema)
        properties = schemas.mapping(schema, "properties")
        lines = [
            self._property(str(name), value, name in required, at)
            for name, value in properties.items()
        ]
        lines += self._index_signatures(schema, at)
        return _Type(f"{{\n{''.join(lines)}{at.indent}}}")

    def _index_signatures(self, schema: Schema, at: _Place) -> Iterator[str]:
        for pattern, value in schemas.mapping(schema, "patternProperties").items():
            text = self.render(value, at.inside("    ")).text
            note = self._paid(at, schemas.one_line(f"/{pattern}/"))
            yield f"{at.indent}[key: string]: {text},{_behind(note)}\n"
        others = schema.get("additionalProperties", False)
        if others is True or isinstance(others, Mapping):
            text = self.render(others, at.inside("    ")).text
            yield f"{at.indent}[key: string]: {text},\n"

    def _property(self, name: str, schema: object, is_required: bool, at: _Place) -> str:
        key = schemas.property_key(name) + ("" if is_required else "?")
        if not isinstance(schema, Mapping) or self._is_spent:
            return f"{at.indent}{key}: {self.render(schema, at.inside()).text},\n"
        head = self._head(schema, at)
        variants = schemas.listed_variants(self._root, schema)
        default = schemas.default_note(schema)
        if variants:
            return head + self._listed_property(key, schema, variants, default, at)
        rendered = self.render(schema, at.inside("    "))
        notes = [schemas.item_description(self._root, schema), default]
        behind = _behind(self._paid(at, " ".join(note for note in notes if note)))
        return f"{head}{at.indent}{key}: {rendered.text},{behind}\n"

    def _listed_property(
        self, key: str, schema: Schema, variants: Sequence[object], default: str, at: _Place
    ) -> str:
        comment = f"{at.indent}// {default}\n" if default else ""
        above = schemas.description(self._root, schema)
        notes = self._notes(variants, above, at)
        place = at.inside("   ")
        own = self._own(schema, place)
        types = [self.render(variant, place) for variant in variants]
        rows = _rows([own if one == _ANY else one for one in types], notes, at)
        return f"{comment}{at.indent}{key}:\n{rows}{at.indent},\n"

    def _head(self, schema: Schema, at: _Place) -> str:
        """The comment above a property: title, description, examples."""
        comments = []
        if title := schemas.text(schema, "title"):
            comments += [*render_comment(title, at.indent), f"{at.indent}//"]
        comments += render_comment(schemas.description(self._root, schema), at.indent)
        if examples := schemas.examples(schema):
            comments.append(f"{at.indent}// Examples:")
            comments += [f"{at.indent}// - {example}" for example in examples]
        return self._paid(at, "".join(f"{comment}\n" for comment in comments))

    def _paid(self, at: _Place, text: str) -> str:
        return text if self._spend(at, len(text)) else ""

    @property
    def _is_spent(self) -> bool:
        return self._chars_left < 0

    def _spend(self, at: _Place, chars: int) -> bool:
        """Account for a line's worth of output; ``False`` when no more is allowed."""
        self._chars_left -= chars + len(at.indent)
        return self._chars_left >= 0


def _rows(types: Iterable[_Type], notes: Iterable[str], at: _Place) -> str:
    return "".join(
        f"{at.indent} | {one.text}{_behind(note)}\n" for one, note in zip(types, notes, strict=True)
    )


def _behind(note: str) -> str:
    return f" // {note}" if note else ""


def _union(types: Iterable[_Type]) -> _Type:
    members = tuple(dict.fromkeys(member for one in types for member in one.members or (one,)))
    if len(members) == 1:
        return members[0]
    return _Type(" | ".join(one.text for one in members), is_loose=True, members=members)


def _intersection(types: Iterable[_Type]) -> _Type:
    parts = list(dict.fromkeys(one for one in types if one != _ANY))
    if len(parts) < 2:
        return parts[0] if parts else _ANY
    return _Type(" & ".join(one.tight for one in parts), is_loose=True)
