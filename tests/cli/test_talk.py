"""``mlxoss chat`` as a talk: a real process on a terminal, a real server that is scripted."""

from __future__ import annotations

import dataclasses
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlxoss import paths
from mlxoss.api_key_file import create_key
from mlxoss.cli.chat.markdown import Markdown
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve, serve
from tests.support.cli.runner import environment, mlxoss
from tests.support.cli.scripted_server import ScriptedServer
from tests.support.cli.scripted_server import serve as serve_script
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import MODEL, Server
from tests.support.server.response_events import PLOT, ended, python_call, run_python, said
from tests.support.server.rounds import browse, python
from tests.support.server.scripts import HELLO, always, endless, final, in_turn
from tests.support.server.tools import Scripted
from tests.support.waiting import HANG_S, until

__all__ = ["serve"]


OpenChat = Callable[[Server | ScriptedServer], "Terminal"]

# A terminal's Ctrl-C reaches the process that has it for its controlling one; what util-linux's
# ``setsid --ctty`` does.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._own, its = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, "-m", "mlxoss", *arguments],
            env=environment(home, {"TERM": "dumb"}),
            stdin=its, stdout=its, stderr=its,
        )  # fmt: skip
        os.close(its)
        self._unread = ""

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def until(self, pattern: str, within_s: float = HANG_S) -> str:
        """What is shown up to ``pattern``."""
        deadline = time.monotonic() + within_s
        while not (found := re.search(pattern, self._unread)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self._unread!r}"
            if select.select([self._own], [], [], left)[0]:
                self._unread += os.read(self._own, 4096).decode(errors="replace")
        shown, self._unread = self._unread[: found.end()], self._unread[found.end() :]
        return shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.close()


@pytest.fixture
def open_chat(tmp_path: Path, terminals: list[Terminal]) -> OpenChat:
    def start(server: Server | ScriptedServer) -> Terminal:
        terminals.append(Terminal(tmp_path, "chat", "--url", server.url))
        terminals[-1].until("> ")
        return terminals[-1]

    return start


def test_a_talk_remembers_forgets_and_ends(
    encoding: Encoding, serve: Serve, open_chat: OpenChat, tmp_path: Path
) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    terminal = open_chat(serve(backend))
    for line in ("First words", "Second words", "/clear", "/effort high", "Third words"):
        terminal.type(f"{line}\n")
        shown = terminal.until("(🎉!|forgotten.|is high.)[\r\n]+> ")
    assert "\x1b[2mThey\x1b[0m\x1b[2m greet\x1b[0m" in shown
    first, second, third = (encoding.decode(each.prompt_ids) for each in backend.inserted)
    assert "Hello, wörld" not in first
    assert "First words" in second
    assert "Hello, wörld" in second
    assert "Reasoning: medium" in second
    assert "First words" not in third
    assert "Reasoning: high" in third
    terminal.type("\x04")
    assert terminal.process.wait(120) == 0
    history = next(tmp_path.rglob("chat-history"))
    assert history.stat().st_mode & 0o777 == 0o600
    assert "First words" in history.read_text()
    assert str(history) in mlxoss(tmp_path, "privacy").stdout


def test_ctrl_c_ends_the_answer_and_not_the_talk(
    encoding: Encoding, serve: Serve, open_chat: OpenChat
) -> None:
    backend = endless(encoding)
    server = serve(backend)
    terminal = open_chat(server)
    terminal.type("Go on\n")
    until(lambda: backend.active == 1)
    terminal.type("\x03")
    terminal.until("\\(cancelled\\)[\r\n]+> ")
    until(lambda: backend.active == 0)
    terminal.type("half a line\x03")
    terminal.until("> ")
    terminal.type("/what\n/effort never\n")
    terminal.until("list them with: /help")
    terminal.until("/effort low, /effort medium or /effort high")
    terminal.type("\x04")
    assert terminal.process.wait(120) == 0


def test_a_long_prompt_is_a_bar_and_no_silence(
    encoding: Encoding, serve: Serve, open_chat: OpenChat
) -> None:
    script = always(encoding, HELLO)
    terminal = open_chat(serve(ScriptedBackend(script, step_s=0.3, chunk_tokens=20)))
    terminal.type("Tell me of the harbour\n")
    terminal.until("prompt \u2588+\u2591+ [0-9]+ of [0-9]+ tokens, about [0-9]+ (s|min) left")
    # It is taken away before the first word comes.
    assert terminal.until("They").rpartition("\x1b[2K")[2] == "\x1b[2mThey"
    terminal.until("🎉![\r\n]+> ")


def test_a_turn_that_fails_is_one_sentence_and_the_talk_goes_on(
    open_chat: OpenChat, serve: Serve
) -> None:
    small = dataclasses.replace(MODEL, context_tokens=100)
    terminal = open_chat(serve(HELLO, model=small))
    terminal.type("word " * 100 + "\n")
    terminal.until("mlxoss: The server refused: This model's maximum context length[^\n]*\n> ")
    terminal.type("Hello!\n")
    terminal.until("🎉!")


def test_a_talk_goes_on_with_what_its_tools_did(open_chat: OpenChat) -> None:
    call = python_call("plot()", "41", PLOT)
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
    answer = run_python(1, call) + said("Done.", 2) + ended(reasoning, call)
    health = {"tools": {"python": True, "browser": "searxng", "mcp": ["oslo"]}}
    with serve_script(answer, health=health) as server:
        terminal = open_chat(server)
        for line in ("Draw", "Again", "/tools off", "Once more"):
            terminal.type(f"{line}\n")
            terminal.until("(Done.|not used.)[\r\n]+> ")
        terminal.type("/tools\n/tools maybe\n")
        terminal.until("python, browser \\(searxng\\): not used")
        terminal.until("/tools on or /tools off")
    first, second, third = (body for _, body in server.asked)
    assert [each["content"] for each in first["input"]] == ["Draw"]
    told = [reasoning, {**call, "outputs": [{"type": "logs", "logs": "41"}]}]
    assert second["input"][1:-1] == told
    assert "reasoning.encrypted_content" in second["include"]
    assert second["store"] is False
    assert second["tools"] == first["tools"]
    assert third["input"][:-1] == [*second["input"], *told]
    assert "tools" not in third


def test_a_talk_with_a_server_s_own_tools(
    encoding: Encoding, serve: Serve, open_chat: OpenChat
) -> None:
    turns = [
        python("12345 * 6789"),
        browse("search", query="tides"),
        browse("open", id="https://example.org/1"),
        final("It is 83810205【1†L1】."),
        python("_ + 1", before="One more."),
        final("It is 83810206."),
        final("Bye."),
    ]
    scripted = Scripted()
    scripted.python.answer = lambda code, cells: f"{83810205 + len(cells)}\n"
    backend = ScriptedBackend(in_turn(encoding, turns))
    terminal = open_chat(serve(backend, tools=scripted.tools))
    terminal.type("What is 12345 * 6789?\n")
    shown = terminal.until("Page 1 https://example.org/1[^>]*> ")
    assert "It is 83810205 [1]." in shown
    for line in ("python: 12345 * 6789 → 83810205", "searched: tides → 1 page", "opened: https"):
        assert line in shown
    terminal.type("And one more?\n")
    terminal.until("python: _ \\+ 1 → 83810206")
    terminal.until("It is 83810206.[\r\n]+> ")
    terminal.type("/tools off\nBye\n")
    terminal.until("Bye.[\r\n]+> ")
    assert len(scripted.python.cells) == 1  # the same container
    assert len(scripted.browser.sessions) == 1
    *_, with_tools, without = (encoding.decode(each.prompt_ids) for each in backend.inserted)
    assert "## python" in with_tools
    assert "## python" not in without


def test_a_server_without_tools_says_so(open_chat: OpenChat) -> None:
    with serve_script(b"", health={"status": "ok"}) as server:
        terminal = open_chat(server)
        terminal.type("/tools\n")
        terminal.until("No tool is enabled on the server")


STYLED = [
    ("plain * 2", "plain * 2"),
    ("a **b** c", "a \x1b[1m**b**\x1b[0m c"),
    ("a `b**` c", "a \x1b[36m`b**`\x1b[0m c"),
    ("# Head\nx # y", "\x1b[1m# Head\x1b[0m\nx # y"),
    ("```sh\n# `x`\n```\ny", "\x1b[36m```sh\n# `x`\n\x1b[36m```\x1b[0m\ny"),
    ("**open\nnext", "\x1b[1m**open\x1b[0m\nnext"),
    ("`open", "\x1b[36m`open\x1b[0m"),
    ("end **", "end \x1b[1m**\x1b[0m"),
]


@pytest.mark.parametrize(("text", "styled"), STYLED)
def test_markdown_is_styled_alike_however_it_comes(text: str, styled: str) -> None:
    for size in range(1, len(text) + 1):
        markdown = Markdown()
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert styled == re.sub(
            "(\x1b\\[0m)+", "\x1b[0m", "".join(map(markdown.feed, pieces)) + markdown.finish()
        )


def complete(home: Path, shell: str, line: str) -> str:
    """What ``shell`` is told for the last word of ``line``."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    env = {"_MLXOSS_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    return mlxoss(home, env=env | words | {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_names(tmp_path: Path, shell: str) -> None:
    shown = complete(tmp_path, shell, "mlxoss connect open")
    assert "openai-python" in shown
    assert "openai-node" in shown
    assert "aider" not in shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mlxoss st", ["start", "stop", "status", "stats", "store"]),
        ("mlxoss chat --ef", ["--effort"]),
        ("mlxoss chat --effort ", ["low", "medium", "high"]),
        ("mlxoss serve --guard ", ["on", "off"]),
        ("mlxoss config get max_q", ["max_queue"]),
        ("mlxoss key revoke l", ["laptop", "lab"]),
    ],
)
def test_what_is_completed(tmp_path: Path, line: str, words: list[str]) -> None:
    for name in ("laptop", "lab", "phone"):
        create_key(paths.data_dir(environment(tmp_path)), name, 0.0)
    assert sorted(complete(tmp_path, "bash", line).split()) == sorted(words)
