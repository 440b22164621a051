"""The README says what is so: its settings, its commands and its links."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.readme import README, make_settings, read_part
from tests.recording import COMMANDS
from tests.support.cli.runner import mlxoss

TEXT = README.read_text()


def shell_commands() -> Iterator[list[str]]:
    """The words of each command of mlxoss that a block of shell shows."""
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&")
            lexer.whitespace_split = True
            for is_between, words in itertools.groupby(lexer, lambda word: word in ("|", "&&")):
                program, *rest = words
                if not is_between and program.rpartition("/")[2] == "mlxoss":
                    yield rest


def test_the_settings_are_all_there() -> None:
    assert read_part("settings") == make_settings(), "run: python -m tests.readme"


def test_the_recorded_commands_are_those_of_the_recorder() -> None:
    shown = [line[2:] for line in read_part("recorded").splitlines() if line.startswith("$ ")]
    assert shown == list(COMMANDS), "run: python -m tests.recording"


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    wanted = set(re.findall(r"\]\(#([^)]*)\)", TEXT))
    assert wanted
    assert wanted <= anchors


def test_folders_and_files_exist() -> None:
    named = re.findall(r"`((?:mlxoss|tests|launchd|Formula)/[\w./]*)`", TEXT)
    assert named
    missing = [name for name in named if not (README.parent / name).exists()]
    assert not missing


def test_commands_and_their_options_exist(tmp_path: Path) -> None:
    commands = list(shell_commands())
    assert ["chat"] in commands
    for words in commands:
        shown = help_of(tmp_path, words)
        missing = [word for word in words if word.startswith("--") and word not in shown]
        assert not missing, words


def help_of(home: Path, words: list[str]) -> str:
    """The help of the command that ``words`` begin with."""
    name: list[str] = []
    shown = "Commands:"
    while "Commands:" in shown and len(name) < len(words):
        name = words[: len(name) + 1]
        done = mlxoss(home, *name, "--help")
        assert done.returncode == 0, (words, done.stderr)
        shown = done.stdout
    return shown
