"""The clients that the tests here run, and how they get there.

Each lies in a folder of its own below ``MLXOSS_CLIENTS``, or ``.clients`` beside the project; the
first test that needs it puts it there, and later runs find it. On one slow machine:

- light, always installed: ``node`` (55 MB, 7 s) and ``python`` (82 MB, 22 s)
- heavy: ``continue`` (81 MB, 4 s), ``llamaindex`` (163 MB, 18 s), ``pi`` (360 MB), ``opencode``
  (354 MB), ``claude`` (405 MB, 8 s), ``codex`` (424 MB, 10 s), ``cline`` (434 MB), ``openclaw``
  (840 MB), ``aider`` (690 MB, 90 s), only where ``MLXOSS_CLIENTS`` is set

``python -m tests.clients.install`` installs all of them. A test whose client cannot be had is
skipped with the reason; where ``MLXOSS_CLIENTS`` is set it fails, unless the machine lacks Node
or its Python is too new for the client. It also fails where another version than the one wanted
was installed: npm takes an older one, and says nothing, where Node is older than the newest wants.

Those for Python bring only what the tests' own environment lacks. aider pins all that it uses, so
it has an environment to itself.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

IS_ASKED_FOR = bool(os.environ.get("MLXOSS_CLIENTS"))
FOLDER = Path(os.environ.get("MLXOSS_CLIENTS") or Path(__file__).parents[2] / ".clients").absolute()
LIMIT_S = 280
NODE = "node@24"
"""For those that want a newer one than many machines have."""


class Absent(Exception):
    """A client that is not here, and why."""


class Unsupported(Absent):
    """A client for which this machine lacks Node, or has a Python that is too new."""


class OtherVersion(Absent):
    """A client that is here, but does not run, or is not of the version that was asked for."""


@dataclass(frozen=True)
class Client:
    """What ``install`` puts into a folder: ``packages``."""

    install: Callable[[Path, Sequence[str]], None]
    packages: tuple[str, ...]
    is_light: bool = False


def _npm(folder: Path, packages: Sequence[str]) -> None:
    if not (npm := shutil.which("npm")) or not shutil.which("node"):
        raise Unsupported("Node and npm are not installed")
    quiet = ("--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    install = [npm, "install", *quiet, "--prefix", str(folder)]
    if NODE in packages:  # some look at the Node that installs them
        _run([*install, NODE])
    _run([*install, *packages], bin_of(folder))


def _program(command: str) -> Callable[[Path, Sequence[str]], None]:
    """A package of npm with a program of its own, in the version that is named and no other."""

    def install(folder: Path, packages: Sequence[str]) -> None:
        _npm(folder, packages)
        version = packages[0].rpartition("@")[2]
        try:
            said = _run([folder / "node_modules/.bin" / command, "--version"], bin_of(folder))
        except (Absent, OSError) as error:
            raise OtherVersion(f"{command} {version} does not run: {error}") from None
        if version not in said.split():
            raise OtherVersion(f"this is to be {command} {version}: {said.strip()}")

    return install


def _pip_beside(folder: Path, packages: Sequence[str]) -> None:
    """Into an environment that sees the packages of this one."""
    has_pip = importlib.util.find_spec("pip") is not None
    _run([sys.executable, "-m", "venv", *["--without-pip"] * has_pip, str(folder)])
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "beside.pth").write_text(sysconfig.get_path("purelib"))
    _pip(folder, packages)


def _pip_alone(folder: Path, packages: Sequence[str]) -> None:
    if sys.version_info >= (3, 13):
        raise Unsupported("aider wants Python 3.12 or older")
    _run([sys.executable, "-m", "venv", str(folder)])
    _pip(folder, packages)


def _pip(folder: Path, packages: Sequence[str]) -> None:
    quiet = ("-q", "--disable-pip-version-check", "--retries=1", "--timeout=30")
    _run([str(folder / "bin/python"), "-m", "pip", "install", *quiet, *packages])


def bin_of(folder: Path) -> str:
    """A PATH that begins with the programs that npm put there, which may be a Node of its own."""
    return f"{folder / 'node_modules/.bin'}:{os.environ['PATH']}"


def _run(command: Sequence[str | Path], path: str | None = None) -> str:
    """What it prints, run to its end; raises ``Absent`` with the last words of one that fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=False, env=os.environ | ({"PATH": path} if path else {}),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Absent(f"{command[0]} took more than {LIMIT_S} s") from None
    if done.returncode:
        raise Absent(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout)[-600:]}")
    return done.stdout


CLIENTS = {
    "node": Client(_npm, ("openai@6", "ai@6", "@ai-sdk/openai@3", "ollama@0.6"), is_light=True),
    "python": Client(
        _pip_beside,
        ("openai-agents>=0.4,<1", "langchain-openai>=1,<2", "llm>=0.27,<1"),
        is_light=True,
    ),
    "continue": Client(_npm, ("@continuedev/cli@1",)),
    "llamaindex": Client(_pip_beside, ("llama-index-llms-openai-like>=0.5,<1",)),
    "claude": Client(_program("claude"), ("@anthropic-ai/claude-code@2.1.332",)),
    "codex": Client(_program("codex"), ("@openai/codex@0.171.0",)),
    "opencode": Client(_program("opencode"), ("opencode-ai@1.18.33",)),
    "pi": Client(_program("pi"), ("@earendil-works/pi-coding-agent@1.6.0", NODE)),
    "cline": Client(_program("cline"), ("cline@3.0.65",)),
    "openclaw": Client(_program("openclaw"), ("openclaw@2026.9.6", NODE)),
    "aider": Client(_pip_alone, ("aider-chat>=0.86,<1",)),
}


def find(name: str) -> Path:
    """The folder of a client, installed if it is light or asked for. Raises ``Absent``.

    Several processes may call it at once: one installs, the others wait.
    """
    client = CLIENTS[name]
    if not (client.is_light or IS_ASKED_FOR or _mark(name).exists()):
        raise Absent("it is large: set MLXOSS_CLIENTS, or python -m tests.clients.install")
    return install(name)


def install(name: str) -> Path:
    """Install a client unless it is there, as it is named here, for this Python."""
    client, folder = CLIENTS[name], FOLDER / name
    wanted = f"{client.packages} {sys.version}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _mark(name).exists() or _mark(name).read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            client.install(folder, client.packages)
            _mark(name).write_text(wanted)
    return folder


def _mark(name: str) -> Path:
    """A file that is there once all of a client is."""
    return FOLDER / name / "installed"


def main() -> None:
    for name in CLIENTS:
        try:
            install(name)
        except Unsupported as why:
            sys.stderr.write(f"{name} is left out: {why}\n")


if __name__ == "__main__":
    main()
