"""From a web page's bytes to its characters. Never fails: what cannot be read is replaced.

Sources: the WHATWG's Encoding Standard, section 4.2 (what old labels mean), and HTML, "determining
the character encoding" (mark, then header, then what the page says within its first bytes).
"""

from __future__ import annotations

import codecs
import re
from email.message import Message

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_AS_BROWSERS_READ = {
    **dict.fromkeys(("ascii", "iso8859-1"), "cp1252"),
    "utf-16": "utf-16-le",
    **dict.fromkeys(("gb2312", "gbk", "hz"), "gb18030"),
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
}
_KNOWN = re.compile(r"utf-(8|16-[lb]e)|cp\d+|iso8859-\d+|gb18030|big5|euc_jp|koi8-[ru]|mac-\w+")
"""Of Python's codecs those of the standard: not punycode, idna and others that take long."""

_SAID_WITHIN = 4096
_SAID = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)


def to_characters(data: bytes, media_type: str | None) -> str:
    """The text of ``data``, whose ``media_type`` may name a charset."""
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(marked, "replace")
    name = _codec(_of_header(media_type)) or _said_codec(data)
    return data.decode(name, "replace") if name else _guess(data)


def _guess(data: bytes) -> str:
    """UTF-8, unless most of what is not ASCII is none."""
    text = data.decode("utf-8", "replace")
    faults, foreign = text.count("\ufffd"), sum(not char.isascii() for char in text)
    return text if 2 * faults <= foreign else data.decode("cp1252", "replace")


def _of_header(media_type: str | None) -> str | None:
    head = Message()
    head["content-type"] = " ".join((media_type or "text/plain").split())
    return head.get_content_charset()


def _said_codec(data: bytes) -> str | None:
    """By what the page says. One that could be read as far as that is no UTF-16."""
    found = _SAID.search(data[:_SAID_WITHIN])
    name = _codec(found[1].decode("ascii", "replace")) if found else None
    return "utf-8" if name and name.startswith("utf-16") else name


def _codec(label: str | None) -> str | None:
    """The codec for a label, ``None`` where it is none."""
    try:
        name = codecs.lookup(label or "").name
    except (LookupError, ValueError):
        return None
    name = _AS_BROWSERS_READ.get(name, name)
    return name if _KNOWN.fullmatch(name) else None
