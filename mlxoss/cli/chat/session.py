"""A talk with the server on a terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import typer

from mlxoss.cli.chat.printer import Printer
from mlxoss.cli.client.chat import PromptMessage, stream_chat
from mlxoss.cli.client.http import Server
from mlxoss.errors import MlxossError

HISTORY_FILE = "chat-history"
HISTORY_LINES = 1000
_EFFORTS = ("low", "medium", "high")
_COMMAND = re.compile(r"/[a-z]*")
_HELP = """\
/clear           begin a new talk
/effort high     reason longer (low, medium, high)
/help            show this
Ctrl-C ends an answer, Ctrl-D the talk."""


class Session:
    """What was said, and the effort of what comes next."""

    def __init__(
        self, server: Server, make_printer: Callable[[], Printer], effort: str | None = None
    ) -> None:
        self._server = server
        self._make_printer = make_printer
        self._effort = effort
        self._said: list[PromptMessage] = []

    def take(self, line: str) -> None:
        """Obey a line that is a command; ask anything else."""
        word, *rest = line.split()
        if not _COMMAND.fullmatch(word):
            self._ask(line)
            return
        match word, rest:
            case "/clear", []:
                self._said.clear()
                _note("What was said is forgotten.")
            case "/effort", [effort] if effort in _EFFORTS:
                self._effort = effort
                _note(f"The effort is {effort}.")
            case "/effort", _:
                _note("Say how long to reason: /effort low, /effort medium or /effort high")
            case "/help", []:
                _note(_HELP)
            case _:
                _note(f"There is no command {line!r}; list them with: /help")

    def _ask(self, text: str) -> None:
        """Ask ``text``; a turn that fails or is cancelled was never said."""
        messages = [*self._said, PromptMessage("user", text)]
        try:
            stream = stream_chat(self._server, messages, self._effort, tells_progress=True)
            with closing(stream) as pieces:
                answer = self._make_printer().show(pieces)
        except MlxossError as error:
            _note(f"mlxoss: {error}")
        except KeyboardInterrupt:
            _note("(cancelled)")
        else:
            self._said = [*messages, PromptMessage("assistant", answer)]


def converse(session: Session, history: Path) -> None:
    """Read lines until Ctrl-D; what was typed is kept in ``history`` (0600)."""
    with _line_editing(history):
        while True:
            try:
                line = input("> ").strip()
            except KeyboardInterrupt:
                _note("")
                continue
            except EOFError:
                _note("")
                return
            if line:
                session.take(line)


def _note(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _line_editing(history: Path) -> Iterator[None]:
    """Arrow keys and earlier lines, where this Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with suppress(OSError):  # a full disk ends no talk with an error
            # Made before it is written, so that nobody else can read it in between.
            os.close(os.open(history, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(history)
            history.chmod(0o600)
