"""From a file's bytes to the text that the model is shown."""

from __future__ import annotations

import base64
import binascii
import codecs
import mimetypes
from dataclasses import dataclass
from email.message import Message
from urllib.parse import unquote_to_bytes

from mlxoss.api.history.files import FileSource
from mlxoss.documents.pdf_process import read_pdf_apart
from mlxoss.errors import FileUnreadable

PDF = "application/pdf"
_ANY = "application/octet-stream"
_TEXTUAL = frozenset(
    f"application/{name}"
    for name in ("json", "xml", "javascript", "x-javascript", "yaml", "x-yaml", "toml", "sql")
) | {"application/x-sh", "application/x-python", "application/rtf", "application/x-ndjson"}
_NO_CHARSETS = frozenset(
    ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem")
)
"""Python's own, which it has beside charsets. Punycode's time grows with the square of a text."""

_TEXTUAL_ENDS = ("+json", "+xml", "+yaml")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class FileContents:
    """A file's bytes, and its media type with parameters, if it is told."""

    data: bytes
    media_type: str | None = None


def decode(source: FileSource) -> FileContents:
    """What the request holds of the file. Raises FileUnreadable."""
    text = source.content or ""
    head, comma, behind = text.partition(",")
    if not (comma and head.startswith("data:")):
        return FileContents(_from_base64(text), source.media_type)
    kind = head.removeprefix("data:")
    if not kind.endswith(";base64"):
        return FileContents(unquote_to_bytes(behind), kind or "text/plain")
    return FileContents(_from_base64(behind), kind.removesuffix(";base64") or source.media_type)


def to_text(source: FileSource, contents: FileContents, most_chars: int) -> str:
    """The file as the model is shown it. Blocks; any thread. Raises FileUnreadable."""
    if _is_pdf(source, contents):
        found = read_pdf_apart(contents.data, most_chars)
        if "pages" not in found:
            raise FileUnreadable(f"the PDF cannot be shown: {found.get('reason')}")
        pages = found["pages"]
        count = f", {len(pages)} page{'s' if len(pages) > 1 else ''}"
        parts = [f"[page {i}]\n{text}" for i, text in enumerate(pages, start=1)]
        return _frame(source, "\n\n".join(parts), count)
    text = _decode(contents)
    if len(text) > most_chars:
        raise FileUnreadable(f"the file has more than {most_chars} characters")
    return _frame(source, text)


def _frame(source: FileSource, text: str, facts: str = "") -> str:
    """Between lines that tell where it begins and ends: what a file says is not its sender's."""
    about = f"{source.about}\n" if source.about else ""
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return f"[file {source.name}{facts}]\n{about}{clean.rstrip()}\n[end of {source.name}]"


def _is_pdf(source: FileSource, contents: FileContents) -> bool:
    """By its beginning and its type. Raises FileUnreadable for what is neither PDF nor text."""
    kind, looks = _kind(source, contents), contents.data[:1024].lstrip().startswith(b"%PDF-")
    if kind == PDF and not looks:
        raise FileUnreadable("it is called a PDF and is none")
    if kind not in (PDF, _ANY) and not _is_textual(kind):
        reason = f"a file of the type {kind} cannot be shown; text and PDF can"
        raise FileUnreadable(reason, code="unsupported_content_type")
    return looks


def _kind(source: FileSource, contents: FileContents) -> str:
    told = (contents.media_type or "").partition(";")[0].strip().lower()
    if told and told != _ANY:
        return told[:100]
    if contents.data.startswith(b"%PDF-"):
        return PDF
    guessed = mimetypes.guess_type(source.name)[0]
    # By its name a program's text may be anything: .ts is a video to this table.
    return guessed if guessed and guessed.startswith(("image/", "audio/")) else _ANY


def _is_textual(kind: str) -> bool:
    return kind.startswith("text/") or kind in _TEXTUAL or kind.endswith(_TEXTUAL_ENDS)


def _decode(contents: FileContents) -> str:
    for mark, name in _MARKS:
        if contents.data.startswith(mark):
            return _decoded(contents.data.removeprefix(mark), name)
    text = _decoded(contents.data, _charset(contents.media_type))
    if "\0" in text:
        raise FileUnreadable("it is no text")
    return text


def _charset(media_type: str | None) -> str:
    head = Message()
    head["content-type"] = " ".join((media_type or "text/plain").split())
    name = head.get_content_charset("utf-8")
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    is_text = found is not None and getattr(found, "_is_text_encoding", True)
    if found is None or not is_text or found.name.replace("-", "_") in _NO_CHARSETS:
        raise FileUnreadable(f"nothing is known of its charset {name[:40]!a}")
    return name


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        raise FileUnreadable(f"it is no text in {encoding[:40]}") from None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise FileUnreadable("it is not base64") from None
