from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.recipes import RECIPES, render_recipe
from tests.clients import install
from tests.server.conftest import _nothing_logged_as_error, leaning, logged_errors, serve
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.runner import mlxoss
from tests.support.server.harness import MODEL, Server

__all__ = ["_nothing_logged_as_error", "leaning", "logged_errors", "serve"]

# What clients would fetch or send elsewhere when they start.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "CONTINUE_TELEMETRY_ENABLED": "0"}

Find = Callable[[str], Path]
"""The folder of a client by its name in ``tests.clients.install``; skips the test without it."""


@pytest.fixture(scope="session")
def client() -> Find:
    """Finds clients; what cannot be installed is tried once."""

    @functools.cache
    def attempt(name: str) -> Path | install.Absent:
        try:
            return install.find(name)
        except install.Absent as absent:
            return absent

    def find(name: str) -> Path:
        found = attempt(name)
        if isinstance(found, Path):
            return found
        is_wrong = isinstance(found, install.OtherVersion)
        if is_wrong or (install.IS_ASKED_FOR and not isinstance(found, install.Unsupported)):
            pytest.fail(f"{name}: {found}")
        pytest.skip(f"{name}: {found}")

    return find


def run_client(
    command: Sequence[object], home: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a client to its end, with nothing of this environment but where commands are.

    No key or address of a real service reaches it. Its files go below ``home``.
    """
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    return subprocess.run(
        [*map(str, command)], cwd=home, env=own | env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def output(command: Sequence[object], home: Path, **env: str) -> str:
    """What a client prints; it has to end well."""
    done = run_client(command, home, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_shell(text: str) -> str:
    """A recipe that ends in a command, as a script that takes more arguments for it."""
    return f'set -eu\n{text.rstrip()} "$@"\n'


def recipe_of(server: Server, name: str) -> str:
    return render_recipe(RECIPES[name], Served(server.url, MODEL.name, needs_key=False))


def run_shell(recipe: str, place: Path, home: Path, *words: str, **env: str) -> str:
    """Run a recipe for a shell, with more words for its last command, which is in ``place``."""
    path = f"{place}:{os.environ['PATH']}"
    return output(["sh", "-c", as_shell(recipe), "sh", *words], home, PATH=path, **QUIET, **env)


@dataclass(frozen=True)
class Demo:
    """A running ``mlxoss serve`` with the bundled model. Every request needs ``key``."""

    home: Path
    daemon: Daemon
    key: str

    @property
    def url(self) -> str:
        return str(self.daemon.url)

    @contextmanager
    def answering(self, path: str) -> Iterator[None]:
        """Within it the server has to answer a POST to ``path``: what it says may be anything."""
        line = f"POST {path} 200"
        before = sum(line in said for said in self.daemon.said)
        yield
        self.daemon.wait_until(lambda: sum(line in said for said in self.daemon.said) > before)

    def mlxoss(self, *arguments: str, **env: str) -> str:
        """What a command of this machine prints that finds the server by its settings."""
        done = mlxoss(self.home, *arguments, env={"MLXOSS_PORT": self.url.rpartition(":")[2]} | env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def recipe(self, name: str) -> str:
        return self.mlxoss("connect", name)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo")
    key = mlxoss(home, "key", "create", "tests").stdout.strip()
    with start_daemon(home) as daemon:
        daemon.wait_until_loaded()
        yield Demo(home, daemon, key)
