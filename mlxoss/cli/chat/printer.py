"""The question that ``mlxoss chat`` asks and how it shows the answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO, TextIO

from mlxoss.cli.chat.markdown import Markdown
from mlxoss.cli.chat.prompt_bar import PromptBar
from mlxoss.cli.client.chat import ContentPiece, EndPiece, Piece, ProgressPiece, ReasoningPiece
from mlxoss.errors import ConfigError

_MOST_BYTES = 10_000_000
"""Servers take no longer bodies; an input without an end must not fill the memory."""

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
# What a terminal would obey instead of showing.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def question(words: Sequence[str], piped: TextIO | None) -> str:
    """The words, and below them what is piped in; ``None`` for a closed input.

    ``ConfigError`` when both are empty, and for input that is no text or more than a server takes.
    """
    parts = [" ".join(words)]
    if piped is not None and not piped.isatty():
        parts.append(_read(piped.buffer))
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    if not text:
        raise ConfigError('There is nothing to ask; try: mlxoss chat "Hello!"')
    return text


def _read(piped: BinaryIO) -> str:
    data = piped.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            "More than 10 MB were piped in; send less, as with: head -c 100000 FILE | mlxoss chat"
        )
    if b"\0" in data:
        raise ConfigError(
            "What was piped in is not text; convert it first, as with: iconv -t utf-8"
        )
    return data.decode("utf-8", "replace")


class Printer:
    """Shows an answer on ``out``; its reasoning, dimmed, on ``notes`` if that is a terminal.

    On a terminal the answer's Markdown gets light styles. ``hide_reasoning`` leaves the
    reasoning out.
    """

    def __init__(self, out: TextIO, notes: TextIO, *, hide_reasoning: bool = False) -> None:
        self._out = out
        self._notes = notes
        colours = not os.environ.get("NO_COLOR")
        self._dim = notes.isatty() and colours
        self._markdown = Markdown() if out.isatty() and colours else None
        self._show_reasoning = notes.isatty() and not hide_reasoning
        self._bar = PromptBar() if notes.isatty() else None
        self._reasoned = False
        self._last = ""

    def show(self, pieces: Iterable[Piece]) -> str:
        """Print every piece as it comes, ending with a line break; return the answer."""
        answer: list[str] = []
        try:
            for piece in pieces:
                self._show(piece)
                if isinstance(piece, ContentPiece):
                    answer.append(piece.text)
        finally:
            self._write(self._notes, self._clear_bar())
            if self._markdown is not None:
                self._write(self._out, self._markdown.finish())
            if self._reasoned:  # it ended before the answer began
                self._write(self._notes, "\n")
            if self._last and not self._last.endswith("\n"):
                self._write(self._out, "\n")
        return "".join(answer)

    def _show(self, piece: Piece) -> None:
        if isinstance(piece, ProgressPiece):
            if self._bar is not None:
                self._write(self._notes, self._bar.draw(piece))
            return
        self._write(self._notes, self._clear_bar())
        match piece:
            case ReasoningPiece(text):
                if self._show_reasoning:
                    self._write(
                        self._notes, f"{_DIM}{_shown(text)}{_PLAIN}" if self._dim else _shown(text)
                    )
                    self._reasoned = True
            case ContentPiece(text):
                if self._reasoned:
                    self._write(self._notes, "\n\n")
                    self._reasoned = False
                self._write(self._out, self._styled(text))
                self._last = text
            case EndPiece("length"):
                self._write(self._notes, "\n(cut off at the limit of tokens)\n")
                self._reasoned = False
            case EndPiece():
                pass

    def _clear_bar(self) -> str:
        return "" if self._bar is None else self._bar.clear()

    def _styled(self, text: str) -> str:
        if not self._out.isatty():
            return text
        return self._markdown.feed(_shown(text)) if self._markdown else _shown(text)

    def _write(self, stream: TextIO, text: str) -> None:
        # A lone surrogate in the answer has no UTF-8 form.
        stream.write(text.encode("utf-8", "replace").decode("utf-8"))
        stream.flush()


def _shown(text: str) -> str:
    return text.translate(_CONTROLS)
