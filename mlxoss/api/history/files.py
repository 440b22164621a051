"""Files that a request holds or points at, in any API's words, before they are read.

Sources: OpenAI's API reference (``input_file``; chat's ``file``), Anthropic's (``document``).
``mlxoss.documents`` reads them; what becomes of one that cannot be read depends on where it
stands: ``Attached`` says so.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from mlxoss.core import JsonMapping, JsonObject
from mlxoss.errors import FileUnreadable

INPUT_FILE = "input_file"
_WEB = ("http://", "https://")
_MOST_NAME_CHARS = 120
_UNNAMED = "file"


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file's contents as a request has them, or the address where they are.

    ``field`` is where in its part. ``content`` is base64, alone or in a ``data:`` URL.
    ``name`` is for the model, on one line; ``about`` is what its sender says of it.
    """

    field: str
    name: str
    content: str | None = None
    url: str | None = None
    media_type: str | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """A part of a request that is a file: ``where`` is its field.

    One that ``is_required`` is refused if it cannot be read; for others a note stands. Once read
    it becomes a part of the type ``text_type``, or keeps its own beside its text without one.
    """

    part: JsonObject
    where: str
    is_required: bool
    text_type: str | None

    def put(self, text: str) -> None:
        """Put what was read into the request."""
        if self.text_type is None:
            self.part["text"] = text
        else:
            self.part.clear()
            self.part.update(type=self.text_type, text=text)


def is_file(part: object) -> bool:
    """Whether the part is a file that may be read: documents that are text already are none."""
    if not isinstance(part, Mapping):
        return False
    match part.get("type"):
        case "input_file":
            return True
        case "file":
            return isinstance(part.get("file"), Mapping)
        case "document":
            source = part.get("source")
            return isinstance(source, Mapping) and source.get("type") not in ("text", "content")
        case _:
            return False


def to_source(part: JsonMapping) -> FileSource:
    """The file that the part (``is_file``) holds.

    Raises FileUnreadable, whose ``param`` is the field within the part, for a part that holds
    none, several, or one of a server that keeps files.
    """
    match part["type"]:
        case "input_file":
            return _from_openai(part, "", ("file_data", "file_url"))
        case "file":
            return _from_openai(part["file"], "file.", ("file_data",))
        case _:
            return _from_anthropic(part)


def to_name(name: str) -> str:
    """The name on one line, shortened if it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return line if len(line) <= _MOST_NAME_CHARS else f"{line[:_MOST_NAME_CHARS]}…"


def _from_openai(holder: JsonMapping, prefix: str, names: tuple[str, ...]) -> FileSource:
    if holder.get("file_id") is not None:
        raise _no_files(f"{prefix}file_id")
    given = {name: holder[name] for name in names if holder.get(name) is not None}
    if len(given) != 1:
        reason = "it has to hold the file, in this field or another, and one alone"
        raise FileUnreadable(reason, param=f"{prefix}{names[0]}")
    ((name, value),) = given.items()
    field = f"{prefix}{name}"
    text = _text(value, field)
    is_address = name == "file_url" or text.startswith(_WEB)
    called = holder.get("filename")
    return FileSource(
        field,
        _name(called, text if is_address else None),
        content=None if is_address else text,
        url=text if is_address else None,
    )


def _from_anthropic(part: JsonMapping) -> FileSource:
    source, title, about = part["source"], part.get("title"), part.get("context")
    told = about if isinstance(about, str) else None
    match source.get("type"):
        case "base64":
            kind = source.get("media_type")
            data = _text(source.get("data"), "source.data")
            media = _text(kind, "source.media_type")
            return FileSource(
                "source.data", _name(title), content=data, media_type=media, about=told
            )
        case "url":
            url = _text(source.get("url"), "source.url")
            return FileSource("source.url", _name(title, url), url=url, about=told)
        case "file":
            raise _no_files("source.file_id")
        case _:
            raise FileUnreadable("no such source is known here", param="source.type")


def _name(given: object, url: str | None = None) -> str:
    if isinstance(given, str) and (name := to_name(given)):
        return name
    try:
        path = urlsplit(url or "").path
    except ValueError:
        return _UNNAMED
    return to_name(unquote(posixpath.basename(path))) or _UNNAMED


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise FileUnreadable("it should be a string", param=field, code="invalid_type")
    return value


def _no_files(field: str) -> FileUnreadable:
    reason = "this server keeps no files; send the file itself"
    return FileUnreadable(reason, param=field, code="unsupported_value")
