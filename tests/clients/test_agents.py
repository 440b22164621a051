"""Agents by ``mlxoss connect`` and ``mlxoss launch``: a tool's call, its result and an answer.

Each streams. Those that ask for responses send the reasoning back, and Cline too, so that the
second prompt begins with the first and all that was written then, to the token.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Demo, Find
from tests.server.conftest import Serve
from tests.support.clients.connected import Connected, files
from tests.support.clients.scripted import LARGE, Steps, call
from tests.support.http import ask
from tests.support.server.harness import MODEL

RESPONSES, MESSAGES, CHAT = "/v1/responses", "/v1/messages", "/v1/chat/completions"
MAKE = "echo by a call > made.txt"
TASK = "Make made.txt."


@dataclass(frozen=True)
class Agent:
    """What it is asked by, the call of a tool of its own, and the API that it asks."""

    words: tuple[str, ...]
    call: str
    api: str = RESPONSES
    has_title: bool = False
    """Whether it has a title made first, beside the conversation."""


AGENTS = {
    "opencode": Agent(
        ("opencode", "run", TASK),
        call("bash", {"command": MAKE, "description": "Make it"}),
        has_title=True,
    ),
    "pi": Agent(("pi", "--print", TASK), call("bash", {"command": MAKE})),
    "cline": Agent(("cline", TASK), call("run_commands", {"commands": [MAKE]}), CHAT),
    "openclaw": Agent(
        ("openclaw", "agent", "exec", "--model", f"mlxoss/{MODEL.name}", TASK),
        call("exec", {"command": MAKE}),
    ),
    "codex": Agent(
        (
            "codex",
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            TASK,
        ),
        call("exec_command", {"cmd": MAKE}),
    ),
    "claude": Agent(
        ("claude", "-p", TASK, "--allowedTools", "Bash"),
        call("Bash", {"command": MAKE}),
        MESSAGES,
    ),
    "continue": Agent(
        ("cn", "-p", "--allow", "Write", TASK),
        call("Write", {"filepath": "made.txt", "content": "by a call\n"}),
        CHAT,
    ),
}
CONNECTED = ["opencode", "pi", "cline", "openclaw", "codex", "continue"]
LAUNCHED = ["opencode", "pi", "codex", "claude"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder; what Cline leaves running, which is to serve its next runs, is ended."""
    yield tmp_path
    for line in Path("/proc").glob("[0-9]*/cmdline") if Path("/proc").exists() else ():
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--cline-hub-daemon" in words and os.fsencode(tmp_path / "work") in words:
            os.kill(int(line.parent.name), signal.SIGKILL)


def run(name: str, how: str, client: Connected, model: Steps) -> None:
    """Have it make a file by a call; it has to have asked by its API, and all were answered."""
    agent = AGENTS[name]
    if how == "connect":
        client.mlxoss("connect", name, "--write")
        said = client.run(*agent.words)
    else:
        said = client.mlxoss("launch", name, *agent.words[1:])
    assert "Made it." in said
    assert (client.folder / "made.txt").read_text() == "by a call\n"
    counts = ask(client.server, "GET", "/metrics").body.decode()
    asked = set(re.findall(r'requests_total{endpoint="POST ([^"]+)",status="(\d+)"}', counts))
    assert asked == {(agent.api, "200")}
    first = 1 if agent.has_title else 0
    model.prompts[:first], model.written[:first] = [], []
    assert model.are_spliced


@pytest.mark.parametrize("name", CONNECTED)
def test_connected(client: Find, serve: Serve, encoding: Encoding, home: Path, name: str) -> None:
    programs, model = client(name), Steps(encoding, [AGENTS[name].call])
    connected = Connected(home, programs, serve(model.backend(), model=LARGE))
    run(name, "connect", connected, model)
    line = next(line for line in connected.mlxoss("connect").splitlines() if line.startswith(name))
    assert line.endswith(f"installed, connected to {connected.server.url}/v1")
    connected.mlxoss("connect", name, "--remove")
    assert not [path for path, text in settings(home).items() if b"mlxoss" in text]


@pytest.mark.parametrize("name", LAUNCHED)
def test_launched(client: Find, serve: Serve, encoding: Encoding, home: Path, name: str) -> None:
    """Nothing is written but what the client itself keeps of its sessions."""
    programs, model = client(name), Steps(encoding, [AGENTS[name].call])
    connected = Connected(home, programs, serve(model.backend(), model=LARGE))
    run(name, "launch", connected, model)
    assert not [path for path, text in settings(home).items() if b"127.0.0.1" in text]


def settings(home: Path) -> dict[str, bytes]:
    """The files of settings that lie there."""
    names = ("opencode.json", "models.json", "settings.json", "providers.json", "openclaw.json",
             "config.toml", "config.yaml")  # fmt: skip
    return {path: text for path, text in files(home).items() if Path(path).name in names}


def test_the_key_goes_by_the_environment(client: Find, demo: Demo, tmp_path: Path) -> None:
    programs = client("pi")
    path = f"{programs / 'node_modules/.bin'}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "PI_OFFLINE": "1"}
    words = ("launch", "pi", "--print", "--no-tools", "--system-prompt", "Be short.", "Hello!")
    with demo.answering(RESPONSES):
        demo.mlxoss(*words, MLXOSS_API_KEY=demo.key, **env)
