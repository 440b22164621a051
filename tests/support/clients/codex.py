"""Runs Codex CLI with settings of its own, and reads what it says."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import tomlkit

from mlxoss.cli.connect.clients.codex import codex_changes
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.settings_file import Edited, edit_file
from mlxoss.cli.connect.toml_format import Toml
from tests.clients.conftest import run_client
from tests.support.server.harness import MODEL, Server

# What it says to every run whose folder is below that of temporary files.
_OF_THE_FOLDER = "could not create PATH aliases"


@dataclasses.dataclass
class Run:
    """What ``codex exec --json`` said."""

    done: subprocess.CompletedProcess[str]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.done.stdout.splitlines()]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of a kind."""
        ended = [each["item"] for each in self.events if each["type"] == "item.completed"]
        return [item for item in ended if item["type"] == kind]

    @property
    def answer(self) -> str:
        return str(self.items("agent_message")[-1]["text"])

    @property
    def thread(self) -> str:
        """The id under which the session can be resumed."""
        return str(self.events[0]["thread_id"])

    def check(self) -> None:
        """It ended well, and had nothing to complain of."""
        assert self.done.returncode == 0, self.done.stdout + self.done.stderr
        assert self.items("error") == [], self.done.stdout
        complaints = [line for line in self.done.stderr.splitlines() if "warn" in line.lower()]
        assert [line for line in complaints if _OF_THE_FOLDER not in line] == []


def run_codex(codex: Path, home: Path, *words: str, **env: str) -> Run:
    """``codex exec`` with the settings in ``home``."""
    (home / "work").mkdir(exist_ok=True)
    command = [codex / "node_modules/.bin/codex", "exec", "--skip-git-repo-check",
               "--dangerously-bypass-approvals-and-sandbox", "--json", "-C", home / "work",
               *words]  # fmt: skip
    return Run(run_client(command, home, CODEX_HOME=str(home / "codex"), **env))


def write_settings(file: Path, served: Served) -> Edited:
    """Merge the settings into ``file``, of which no record is kept."""
    return edit_file(file, Toml(), lambda _: codex_changes(served))


def configure(home: Path, server: Server) -> Path:
    """The settings that ``mlxoss codex --write`` makes for this server."""
    file = home / "codex/config.toml"
    write_settings(file, Served(server.url, MODEL.name, needs_key=False))
    return file


def add(file: Path, **settings: Any) -> None:
    """Put ``settings`` before what ``file`` holds, which goes before them."""
    document = tomlkit.parse(file.read_text())
    document.update({**settings, **document})
    file.write_text(tomlkit.dumps(document))
