"""What stands in the place of images, audio and files: the model reads text.

A tool answers with what it has, and a conversation holds it from then on: were it refused,
every later turn would be too. So it becomes a note. What the user attaches to the newest message
is not for us to drop: that stays as it is, and is refused by those who read the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from mlxoss.core import JsonMapping

HOW_TO_GO_ON = (
    "Send the message without it, or say in words what it shows. In earlier messages and in "
    "what tools answer, a note stands in its place."
)
"""For the error of an attachment that is refused."""

_WORDS: MappingProxyType[str, str] = MappingProxyType(
    {
        "image": "image",
        "image_url": "image",
        "input_image": "image",
        "output_image": "image",
        "computer_screenshot": "image",
        "audio": "audio",
        "input_audio": "audio",
        "output_audio": "audio",
        "video": "video",
        "video_url": "video",
        "input_video": "video",
        "file": "file",
        "input_file": "file",
        "document": "file",
        "container_upload": "file",
        "resource": "file",
        "resource_link": "file",
    }
)
_NAMES = ("filename", "file_name", "name", "title", "file_id")
_TYPES = ("media_type", "mime_type", "mimeType", "format")
_PLACES = ("url", "uri", "image_url", "file_url", "audio_url", "video_url")
_CONTENTS = ("data", "file_data", "blob")
_MOST_NAME_CHARS = 120


def to_note(part: object) -> str | None:
    """The note for a part that is an image, audio, video or a file; ``None`` for any other."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str) or kind not in _WORDS:
        return None
    facts = ", ".join(_facts(part))
    return f"[{_WORDS[kind]} left out: this model reads text{facts and '; '}{facts}]"


def to_text(part: object) -> str | None:
    """What a part says whose text is not where other parts have it; ``None`` for any other.

    Sources: Anthropic's API reference (documents of plain text or of blocks, search results);
    the Model Context Protocol (embedded resources of text).
    """
    if not isinstance(part, Mapping):
        return None
    if part.get("type") == "resource":
        inside = part.get("resource")
        text = inside.get("text") if isinstance(inside, Mapping) else None
        return text if isinstance(text, str) else None
    return _to_document_text(part) if part.get("type") in ("document", "search_result") else None


def put_notes(parts: object, kind: str = "text") -> object:
    """Of a list of parts, notes of the type ``kind`` for attachments, texts as texts."""
    return _replaced(parts, kind, with_notes=True)


def put_texts(parts: object, kind: str = "text") -> object:
    """As :func:`put_notes`, but attachments stay as they are."""
    return _replaced(parts, kind, with_notes=False)


def newest_required(messages: Sequence[object], is_result: Callable[[object], bool]) -> int:
    """Where the last message of a user is, whose attachments are not to be dropped.

    -1 if there is none, and where that one or the one before it is what a tool answered
    (``is_result``): clients put there what a tool showed.
    """
    newest = max((i for i, message in enumerate(messages) if is_from_user(message)), default=-1)
    here = messages[max(newest - 1, 0) : newest + 1]
    return -1 if any(map(is_result, here)) else newest


def is_from_user(message: object) -> bool:
    """Whether it is a message of a user, in any API."""
    return (
        isinstance(message, Mapping)
        and message.get("role") == "user"
        and message.get("type") in (None, "message")
    )


def _to_document_text(part: JsonMapping) -> str | None:
    source = part.get("source")
    inner: object = part.get("content")
    if isinstance(source, Mapping):
        if source.get("type") not in ("text", "content"):
            return None
        inner = source.get("data") if source["type"] == "text" else source.get("content")
    elif part.get("type") == "document":
        return None
    heads = (part.get("title"), source, part.get("context"))
    lines = [*(head for head in heads if isinstance(head, str)), *_texts(inner)]
    return "\n".join(lines)


def _replaced(parts: object, kind: str, *, with_notes: bool) -> object:
    if not isinstance(parts, list):
        return parts
    read = [(part, to_text(part)) for part in parts]
    if with_notes:
        read = [(part, to_note(part) if text is None else text) for part, text in read]
    return [part if text is None else {"type": kind, "text": text} for part, text in read]


def _texts(inner: object) -> Iterator[str]:
    if isinstance(inner, str):
        yield inner
    for block in inner if isinstance(inner, list) else ():
        if isinstance(block, Mapping) and isinstance(block.get("text"), str):
            yield block["text"]
        elif (note := to_note(block)) is not None:
            yield note


def _facts(part: JsonMapping) -> Iterator[str]:
    """Its name, type and size, as far as it tells them."""
    layers = [part, *(value for value in part.values() if isinstance(value, Mapping))]
    url = _first(layers, _PLACES)
    content = _first(layers, _CONTENTS)
    head, comma, behind = (url or content or "").partition(",")
    is_within = bool(comma) and head.startswith("data:")
    if is_within:
        url, content = None, behind
    name = _first(layers, _NAMES) or url
    kind = head[5:].partition(";")[0] if is_within else _first(layers, _TYPES)
    if name:
        short = " ".join(name.split())
        yield short if len(short) <= _MOST_NAME_CHARS else f"{short[:_MOST_NAME_CHARS]}…"
    if kind:
        yield " ".join(kind.split())[:_MOST_NAME_CHARS]
    if content:
        yield _size(content)


def _first(layers: Sequence[JsonMapping], names: Sequence[str]) -> str | None:
    found = (layer.get(name) for layer in layers for name in names)
    return next((value for value in found if isinstance(value, str) and value), None)


def _size(base64: str) -> str:
    size = len(base64) * 3 // 4 - base64[-2:].count("=")
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
