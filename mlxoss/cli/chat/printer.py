"""The question that ``mlxoss chat`` asks and how it shows the answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO, TextIO

from mlxoss.cli.chat.call_lines import shown, to_call_line, to_running_line, to_source_lines
from mlxoss.cli.chat.markdown import Markdown
from mlxoss.cli.chat.plots import PlotFolder
from mlxoss.cli.chat.prompt_bar import PromptBar
from mlxoss.cli.client.pieces import (
    CallPiece,
    ContentPiece,
    EndPiece,
    Piece,
    ProgressPiece,
    ReasoningPiece,
    RunningPiece,
)
from mlxoss.errors import ConfigError

_MOST_BYTES = 10_000_000
"""Servers take no longer bodies; an input without an end must not fill the memory."""

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_AFTER_REASONING, _AFTER_LINES = "\n\n", "\n"


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
    """Shows an answer on ``out``; what led to it, dimmed, on ``notes`` if that is a terminal.

    That is reasoning and a line for each call of a tool; ``hide_reasoning`` leaves both out. What
    belongs to the answer, its sources and the files of ``plots``, is told on ``notes`` in any case.
    On a terminal the answer's Markdown gets light styles.
    """

    def __init__(
        self,
        out: TextIO,
        notes: TextIO,
        plots: PlotFolder,
        *,
        hide_reasoning: bool = False,
    ) -> None:
        self._out = out
        self._notes = notes
        self._plots = plots
        colours = not os.environ.get("NO_COLOR")
        self._dim = notes.isatty() and colours
        self._markdown = Markdown() if out.isatty() and colours else None
        self._show_reasoning = notes.isatty() and not hide_reasoning
        self._bar = PromptBar() if notes.isatty() else None
        self._gap = ""  # between what led to the answer and the answer
        self._last = ""

    def show(self, pieces: Iterable[Piece]) -> EndPiece | None:
        """Print every piece as it comes, ending with a line break; return the end."""
        end = None
        try:
            for piece in pieces:
                self._show(piece)
                end = piece if isinstance(piece, EndPiece) else end
        finally:
            self._write(self._notes, self._clear_bar())
            self._end_answer()
            if self._gap == _AFTER_REASONING:  # it ended before the answer began
                self._write(self._notes, "\n")
        return end

    def _show(self, piece: Piece) -> None:
        match piece:
            case ProgressPiece():
                self._wait("" if self._bar is None else self._bar.draw(piece))
                return
            case RunningPiece():
                line = self._dimmed(to_running_line(piece))
                self._wait(self._bar.say(line) if self._bar and self._show_reasoning else "")
                return
        self._write(self._notes, self._clear_bar())
        match piece:
            case ReasoningPiece(text):
                if self._show_reasoning:
                    self._write(self._notes, self._dimmed(shown(text)))
                    self._gap = _AFTER_REASONING
            case CallPiece():
                self._show_call(piece)
            case ContentPiece(text, marked):
                self._write(self._notes, self._gap)
                self._gap = ""
                self._write(self._out, self._styled(text if marked is None else marked, text))
                self._last = text
            case EndPiece():
                self._show_end(piece)

    def _show_call(self, call: CallPiece) -> None:
        lines = [to_call_line(call)] if self._show_reasoning else []
        for image in call.images:
            file = self._plots.save(image)
            lines.append(f"plot: {file}" if file else "plot: it could not be saved")
        if lines:
            self._begin_line()
            self._write(self._notes, "".join(f"{self._dimmed(line)}\n" for line in lines))
            self._gap = _AFTER_LINES if self._bar is not None else ""

    def _show_end(self, end: EndPiece) -> None:
        if end.is_cut:
            self._write(self._notes, "\n(cut off at the limit of tokens)\n")
            self._gap = ""
        if end.sources:
            self._end_answer()
            lines = "".join(f"{line}\n" for line in to_source_lines(end.sources))
            self._write(self._notes, f"\n{self._dimmed(lines)}" if self._bar else lines)

    def _wait(self, line: str) -> None:
        if line:
            self._begin_line()
            self._write(self._notes, line)

    def _begin_line(self) -> None:
        """End the line of the reasoning, if one is begun."""
        if self._gap == _AFTER_REASONING:
            self._write(self._notes, "\n")
            self._gap = _AFTER_LINES

    def _end_answer(self) -> None:
        if self._markdown is not None:
            self._write(self._out, self._markdown.finish())
        if self._last and not self._last.endswith("\n"):
            self._write(self._out, "\n")
        self._last = ""

    def _clear_bar(self) -> str:
        return "" if self._bar is None else self._bar.clear()

    def _dimmed(self, text: str) -> str:
        return f"{_DIM}{text}{_PLAIN}" if self._dim else text

    def _styled(self, text: str, as_it_is: str) -> str:
        if not self._out.isatty():
            return as_it_is
        return self._markdown.feed(shown(text)) if self._markdown else shown(text)

    def _write(self, stream: TextIO, text: str) -> None:
        # A lone surrogate in the answer has no UTF-8 form.
        stream.write(text.encode("utf-8", "replace").decode("utf-8"))
        stream.flush()
