"""A talk with the server on a terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import typer

from mlxoss.cli.chat.printer import Printer
from mlxoss.cli.client.http import Server
from mlxoss.cli.client.responses import stream_response, to_question
from mlxoss.cli.enabled_tools import to_words
from mlxoss.core import JsonObject
from mlxoss.errors import MlxossError

HISTORY_FILE = "chat-history"
HISTORY_LINES = 1000
_EFFORTS = ("low", "medium", "high")
_COMMAND = re.compile(r"/[a-z]*")
_HELP = """\
/clear           begin a new talk
/effort high     reason longer (low, medium, high)
/tools           show which of the server's tools are used; /tools off and /tools on
/help            show this
Ctrl-C ends an answer, Ctrl-D the talk."""


class Session:
    """What was said, and the effort and the tools of what comes next."""

    def __init__(
        self,
        server: Server,
        make_printer: Callable[[], Printer],
        effort: str | None = None,
        *,
        uses_tools: bool = True,
    ) -> None:
        self._server = server
        self._make_printer = make_printer
        self._effort = effort
        self._uses_tools = uses_tools
        self._said: list[JsonObject] = []

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
            case "/tools", ["on" | "off" as wish]:
                self._uses_tools = wish == "on"
                _note(f"The tools of the server are {'used' if self._uses_tools else 'not used'}.")
            case "/tools", []:
                self._show_tools()
            case "/tools", _:
                _note("Say whether to use the tools of the server: /tools on or /tools off")
            case "/help", []:
                _note(_HELP)
            case _:
                _note(f"There is no command {line!r}; list them with: /help")

    def _ask(self, text: str) -> None:
        """Ask ``text``; a turn that fails or is cancelled was never said."""
        items = [*self._said, to_question(text)]
        try:
            stream = stream_response(
                self._server,
                items,
                self._effort,
                uses_tools=self._uses_tools,
                tells_progress=True,
            )
            with closing(stream) as pieces:
                end = self._make_printer().show(pieces)
        except MlxossError as error:
            _note(f"mlxoss: {error}")
        except KeyboardInterrupt:
            _note("(cancelled)")
        else:
            assert end is not None  # a stream without one is an error
            self._said = [*items, *end.items]

    def _show_tools(self) -> None:
        """What is enabled, as the server tells it."""
        try:
            tools = self._server.ask("GET", "/health").get("tools") or {}
        except MlxossError as error:
            _note(f"mlxoss: {error}")
            return
        enabled = ", ".join(to_words({name: tools.get(name) for name in ("python", "browser")}))
        if not enabled:
            _note("No tool is enabled on the server; show what there is with: mlxoss tools")
        else:
            use = "in use" if self._uses_tools else "not used (/tools on)"
            _note(f"{enabled}: {use}")


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
