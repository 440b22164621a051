"""Text as it grows out of a page: white space folded, blocks apart, none of our own marks in it."""

from __future__ import annotations

import re

MOST_CHARS = 1_500_000
"""What of a page's text is kept."""

_SPACES = re.compile(r"[ \t\n\r\f\v\xa0]+")
_DROPPED = [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x200B, 0xFEFF]
_DROPPED += [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Control characters, what has no width, and what turns the direction of what follows."""

_TABLE = {
    **dict.fromkeys(_DROPPED),
    **{ord("【"): "〖", ord("】"): "〗", ord("◼"): "◾"},
}


class PageFull(Exception):
    """What was read so far is enough."""


def clean(text: str) -> str:
    """``text`` without what could be taken for one of our marks (``【1†L2】``), or hides."""
    return text.translate(_TABLE)


def to_line(text: str, most_chars: int) -> str:
    """``text`` in one clean line, cut to ``most_chars``."""
    line = _SPACES.sub(" ", clean(text[: 4 * most_chars])).strip()
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"


class Flow:
    """Collects text. ``prefix`` begins each line (a quotation's ``> ``)."""

    def __init__(self) -> None:
        self.prefix = ""
        self._pieces: list[str] = []
        self._chars = 0
        self._breaks = 0
        self._has_space = False
        self._is_empty_line = True

    @property
    def text(self) -> str:
        """All of it, without white space at its ends."""
        return "".join(self._pieces).strip("\n").rstrip()

    def end_line(self, lines: int = 1) -> None:
        """What follows stands ``lines`` lines further down at least."""
        self._breaks = max(self._breaks, lines)

    def add_space(self) -> None:
        """What follows is another word."""
        self._has_space = True

    def add(self, text: str) -> None:
        """Clean text whose white space does not count. Raises PageFull."""
        words = _SPACES.sub(" ", text)
        if not words.strip(" "):
            self._has_space = self._has_space or bool(words)
            return
        self._start(is_apart=words[0] == " ")
        self._put(words.strip(" "))
        self._has_space = words[-1] == " "

    def mark(self, text: str) -> None:
        """What a line begins with (``# ``), with its white space. Raises PageFull."""
        self._start(is_apart=False)
        self._put(text)
        self._is_empty_line = True

    def add_verbatim(self, text: str) -> None:
        """Clean text whose lines count (``pre``). Raises PageFull."""
        for i, line in enumerate(text.replace("\r\n", "\n").split("\n")):
            if i:
                self._breaks += 1
                self._is_empty_line = True
            if line:
                self._start(is_apart=False)
                self._put(line)

    def _start(self, *, is_apart: bool) -> None:
        if self._breaks:
            if self._pieces:
                self._put("\n" * self._breaks + self.prefix)
            elif self.prefix:
                self._put(self.prefix)
            self._breaks, self._is_empty_line = 0, True
        elif (self._has_space or is_apart) and not self._is_empty_line:
            self._put(" ")
        self._has_space = False

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self._is_empty_line = False
        self._chars += len(text)
        if self._chars > MOST_CHARS:
            raise PageFull
