"""The texts say what is so: settings, commands, links, errors, and how the package is laid out."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme import README, ROOT, make_settings, read_part
from tests.recording import COMMANDS
from tests.support.cli.runner import mlxoss

PACKAGE = ROOT / "mlxoss"
HOUSE = PACKAGE / "README.md"
TEXTS = [
    README,
    ROOT / ".github/CONTRIBUTING.md",
    *(ROOT / folder / "README.md" for folder in ("launchd", "Formula", "tests", "tests/mac")),
    *sorted(PACKAGE.rglob("README.md")),
]
MOST_LINES = 280
"""Of the project's README: what is longer stands beside what it describes."""

each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def shell_commands(text: str) -> Iterator[list[str]]:
    """The words of each command of mlxoss that a block of shell shows."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&")
            lexer.whitespace_split = True
            for is_between, words in itertools.groupby(lexer, lambda word: word in ("|", "&&")):
                program, *rest = words
                if not is_between and program.rpartition("/")[2] == "mlxoss":
                    yield rest


def anchors(text: Path) -> set[str]:
    """What links may point at inside a text."""
    headings = re.findall(r"^#+ (.*)$", text.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def folders() -> Iterator[str]:
    """The folders of the package that hold something, as its text names them."""
    for folder in sorted(path for path in PACKAGE.rglob("*") if path.is_dir()):
        if "__pycache__" not in folder.parts and any(each.is_file() for each in folder.iterdir()):
            yield f"{folder.relative_to(PACKAGE)}/"


def test_the_settings_are_all_there() -> None:
    assert read_part("settings") == make_settings(), "run: python -m tests.readme"


def test_the_recorded_commands_are_those_of_the_recorder() -> None:
    shown = [line[2:] for line in read_part("recorded").splitlines() if line.startswith("$ ")]
    assert shown == list(COMMANDS), "run: python -m tests.recording"


def test_the_two_commands_are_lines_that_can_be_run() -> None:
    """``.ci/run`` takes them from there."""
    lines = README.read_text().splitlines()
    for program in ("mlxoss serve", "pytest"):
        (line,) = (line for line in lines if line.endswith(f"/{program}"))
        assert line.startswith("python3 -m venv .venv && ")


def test_the_readme_is_short_and_leads_to_all_others() -> None:
    readme = README.read_text()
    assert len(readme.splitlines()) <= MOST_LINES
    training = PACKAGE / "demo/training/README.md"
    others = {str(path.relative_to(ROOT)) for path in TEXTS if path not in (README, training)}
    assert others <= set(re.findall(r"\]\(([^)#]+)", readme))


@each_text
def test_links_lead_somewhere(text: Path) -> None:
    for target in re.findall(r"\]\(([^)]*)\)", text.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = text.parent / path if path else text
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@each_text
def test_folders_and_files_exist(text: Path) -> None:
    named = re.findall(
        r"`((?:mlxoss|tests|launchd|Formula|\.ci|\.github)/[\w./]*)`", text.read_text()
    )
    assert not [name for name in named if not (ROOT / name).exists()]


@each_text
def test_modules_that_are_run_exist(text: Path) -> None:
    named = re.findall(r"python -m ((?:tests|mlxoss)[\w.]*\w)", text.read_text())
    paths = [ROOT.joinpath(*name.split(".")) for name in named]
    assert not [path for path in paths if not (path.is_dir() or path.with_suffix(".py").is_file())]


@each_text
def test_commands_and_their_options_exist(tmp_path: Path, text: Path) -> None:
    for words in shell_commands(text.read_text()):
        shown = help_of(tmp_path, words)
        missing = [word for word in words if word.startswith("--") and word not in shown]
        assert not missing, words


def test_commands_are_found_in_the_readme() -> None:
    commands = list(shell_commands(README.read_text()))
    assert ["chat"] in commands
    assert ["status"] in commands


def test_every_folder_of_the_package_is_explained() -> None:
    text = HOUSE.read_text()
    assert not [folder for folder in folders() if f"`{folder}`" not in text]


def test_every_file_that_the_package_s_text_names_exists() -> None:
    named = re.findall(r"`([a-z_/]+(?:\.py|/))`", HOUSE.read_text())
    assert len(named) > 50
    # Names that are the same in every API's folder stand alone.
    shared = {path.name for path in PACKAGE.glob("api/*/*.py")}
    missing = [name for name in named if not (PACKAGE / name).exists() and name not in shared]
    assert not missing


def test_the_files_with_a_theory_of_operation_have_one() -> None:
    """In the package's text a * stands behind each of them."""
    marked = set(re.findall(r"`([a-z_/]+\.py)`\*", HOUSE.read_text()))
    having = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "\nTheory of operation. " in path.read_text()
    }
    assert marked == having


def test_every_error_s_code_is_listed() -> None:
    text = (PACKAGE / "api/README.md").read_text()
    told = [PACKAGE / "errors.py"]
    for folder in ("api", "server", "turns"):
        told += (PACKAGE / folder).rglob("*.py")
    codes = {code for path in told for code in re.findall(r'\bcode="(\w+)"', path.read_text())}
    assert "context_length_exceeded" in codes
    assert not [code for code in sorted(codes) if f"`{code}`" not in text]


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
