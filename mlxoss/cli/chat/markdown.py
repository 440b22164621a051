"""Light styles for Markdown on a terminal, as it streams. Pure text; no character is left out."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"`+|\*+|\n|[^`*\n]+")
_MARKS = re.compile(r"[`*]+\Z")
_BOLD, _CODE, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"


class Markdown:
    """Styles headings, ``**bold**``, `code` and fenced code of a text that comes in pieces.

    A run of marks at a piece's end waits for the next piece, which may lengthen it. One object
    styles one text.
    """

    def __init__(self) -> None:
        self._held = ""
        self._at_start = True
        self._in_fence = self._in_code = self._is_bold = False

    def feed(self, text: str) -> str:
        """What can be shown of the text so far."""
        text = self._held + text
        run = _MARKS.search(text)
        self._held = run[0][-_longest(run[0]) :] if run else ""
        return "".join(map(self._style, _TOKEN.findall(text[: len(text) - len(self._held)])))

    def finish(self) -> str:
        """The rest, and the end of all styles."""
        rest = "".join(map(self._style, _TOKEN.findall(self._held)))
        self._held = ""
        return rest + (_PLAIN if self._in_fence or self._in_code or self._is_bold else "")

    def _style(self, run: str) -> str:
        was_at_start, self._at_start = self._at_start, run == "\n"
        if run == "\n":
            return self._end_line()
        if was_at_start and run.startswith("```"):
            self._in_fence, self._in_code = not self._in_fence, True
            return f"{_CODE}{run}"
        if self._in_fence:
            return run
        if run.startswith("`"):
            self._in_code = not self._in_code
            return f"{_CODE}{run}" if self._in_code else f"{run}{self._resume()}"
        if run == "**" and not self._in_code:
            self._is_bold = not self._is_bold
            return f"{_BOLD}{run}" if self._is_bold else f"{run}{_PLAIN}"
        if was_at_start and run.startswith("#"):
            self._is_bold = True
            return f"{_BOLD}{run}"
        return run

    def _end_line(self) -> str:
        if self._in_fence:
            return "\n"
        styled = self._in_code or self._is_bold
        self._in_code = self._is_bold = False
        return f"{_PLAIN}\n" if styled else "\n"

    def _resume(self) -> str:
        return f"{_PLAIN}{_BOLD}" if self._is_bold else _PLAIN


def _longest(run: str) -> int:
    """How many of the run's last characters are the same."""
    return len(run) - len(run.rstrip(run[-1]))
