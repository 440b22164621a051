"""How calls of the server's tools, and what an answer cites, are told on a terminal. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from mlxoss.cli.client.pieces import CallPiece, RunningPiece, Source
from mlxoss.cli.printing import WIDTH

_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a terminal would obey instead of showing."""
_TURNS = dict.fromkeys((0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""What turns the direction of the rest of a line. Source: Unicode, UAX 9."""
_MOST_ASKED = 48


def shown(text: str) -> str:
    """``text`` without what a terminal would obey."""
    return text.translate(_CONTROLS)


def to_call_line(piece: CallPiece) -> str:
    """A call in one line: the whole of what it was asked and answered would hide the talk."""
    line = f"{_name(piece.did)}: {_asked(piece.asked)}"
    answer = "failed" if piece.is_failed else _last_line(piece.answer)
    if not answer:
        return cut(line, WIDTH)
    head = cut(line, _MOST_ASKED) if _columns(f"{line} → {answer}") > WIDTH else line
    return cut(f"{head} → {answer}", WIDTH)


def to_running_line(piece: RunningPiece) -> str:
    """A call that runs. It is shorter than a terminal is wide, so that it can be taken away."""
    asked = f": {_asked(piece.asked)}" if piece.asked else ""
    return f"{cut(f'{_name(piece.did)}{asked}', WIDTH - 3)} …"


def to_source_lines(sources: Sequence[Source]) -> Iterator[str]:
    """A line for each, numbered from 1; an address that no browser opens as a page is left out."""
    for number, source in enumerate(sources, 1):
        url = shown(source.url) if source.url.startswith(("http://", "https://")) else ""
        yield " ".join(filter(None, (f"[{number}]", _one_line(source.title), _one_line(url))))


def cut(text: str, columns: int) -> str:
    """``text`` in at most so many columns."""
    head = text[: columns + 1]
    if _columns(head) <= columns:
        return head
    while _columns(head) >= columns:
        head = head[:-1]
    return f"{head.rstrip()}…"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _name(did: str) -> str:
    return cut(_one_line(did), _MOST_ASKED)


def _asked(text: str) -> str:
    """Its first line, and how many there are."""
    lines = [line for line in map(_one_line, text.splitlines()) if line]
    if len(lines) < 2:
        return "".join(lines)
    return f"{cut(lines[0], _MOST_ASKED - 20)} … ({len(lines)} lines)"


def _last_line(text: str) -> str:
    """What a cell's own last expression is, and what an error says, stands last."""
    lines = [line for line in map(_one_line, text.splitlines()) if line]
    return lines[-1] if lines else ""


def _one_line(text: str) -> str:
    return " ".join(shown(text).translate(_TURNS).split())
