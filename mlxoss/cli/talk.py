"""The question that ``mlxoss chat`` asks and how it shows the answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TextIO

from mlxoss.cli.client import Content, Finished, Piece, Reasoning
from mlxoss.errors import ConfigError

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
# What a terminal would obey instead of showing.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def question(words: Sequence[str], piped: TextIO) -> str:
    """The words, and below them what is piped in. ``ConfigError`` when both are empty."""
    parts = [" ".join(words)]
    if not piped.isatty():
        parts.append(piped.buffer.read().decode("utf-8", "replace"))
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    if not text:
        raise ConfigError('There is nothing to ask; try: mlxoss chat "Hello!"')
    return text


class Printer:
    """Shows the answer on ``out``; the reasoning, dimmed, on ``notes`` if that is a terminal."""

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes
        self._dim = notes.isatty() and not os.environ.get("NO_COLOR")
        self._reasoned = False
        self._last = ""

    def show(self, pieces: Iterable[Piece]) -> None:
        """Print every piece as it comes, ending with a line break."""
        try:
            for piece in pieces:
                self._show(piece)
        finally:
            if self._last and not self._last.endswith("\n"):
                self._write(self._out, "\n")

    def _show(self, piece: Piece) -> None:
        match piece:
            case Reasoning(text):
                if self._notes.isatty():
                    self._write(
                        self._notes, f"{_DIM}{_shown(text)}{_PLAIN}" if self._dim else _shown(text)
                    )
                    self._reasoned = True
            case Content(text):
                if self._reasoned:
                    self._write(self._notes, "\n\n")
                    self._reasoned = False
                self._write(self._out, _shown(text) if self._out.isatty() else text)
                self._last = text
            case Finished("length"):
                self._write(self._notes, "\n(cut off at the limit of tokens)\n")
            case Finished():
                pass

    def _write(self, stream: TextIO, text: str) -> None:
        # A lone surrogate in the answer has no UTF-8 form.
        stream.write(text.encode("utf-8", "replace").decode("utf-8"))
        stream.flush()


def _shown(text: str) -> str:
    return text.translate(_CONTROLS)
