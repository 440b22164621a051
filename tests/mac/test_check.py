"""The checks for a Mac: they are sound shell, and their report tells no names."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.mac.private import private

MAC = Path(__file__).parent
SCRIPTS = sorted(MAC.rglob("*.sh"))
TOPICS = {path.stem for path in (MAC / "checks").glob("*.sh")}
# macOS has bash 3.2 and BSD's tools; these words are GNU's alone.
GNU_ONLY = re.compile(
    r"sed -i |readlink -f|date -d|stat -c|\btimeout \d|\bgrep -\w*P|mapfile|declare -A|sleep inf"
)


def check(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``check.sh`` of ``folder``."""
    return subprocess.run(
        ["sh", folder / "check.sh", *arguments],
        env=os.environ | {"MLXOSS": sys.executable, "PYTHON": sys.executable} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """``check.sh`` with checks of its own."""
    folder = tmp_path / "mac"
    shutil.copytree(MAC, folder, ignore=shutil.ignore_patterns("checks", "test_*", "__pycache__"))
    (folder / "checks").mkdir()
    for name, about, text in (
        ("good", "All is well.", "echo found nothing; exit 0"),
        ("bad", "Not all is well.", 'echo "a fault below $HOME/x"; exit 3'),
        ("absent", "It takes a Mac.", "echo there is no Mac; exit 77"),
        ("hours", "Long: it takes hours.", "exit 1"),
    ):
        (folder / "checks" / f"{name}.sh").write_text(f"#!/bin/sh\n# {about}\n{text}\n")
    return folder


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_script_is_sound_shell_of_any_unix(script: Path) -> None:
    text = script.read_text()
    for shell in filter(shutil.which, ("sh", "dash", "bash")):
        done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
        assert done.stderr == ""
    assert GNU_ONLY.findall(text) == []


def programs_in(script: Path) -> list[str]:
    """The Python in a check: what it hands to the interpreter, or writes into a file for it."""
    found = re.findall(
        r"^[^\n#]*(?:\$PYTHON|/python|\.py)[^\n]*<<'END'[^\n]*\n(.*?)^END$",
        script.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    return [str(text) for text in found]


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_what_a_check_imports_of_us_is_there(topic: str) -> None:
    for text in programs_in(MAC / "checks" / f"{topic}.sh"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mlxoss"):
                missing = [each.name for each in node.names if not is_in(node.module, each.name)]
                assert missing == [], node.module


def is_in(module: str | None, name: str) -> bool:
    """Whether ``name`` can be imported from ``module``, of which it may be a module itself."""
    found = importlib.import_module(str(module))
    is_package = hasattr(found, "__path__")
    return hasattr(found, name) or (is_package and find_spec(f"{module}.{name}") is not None)


def test_the_programs_in_checks_are_found() -> None:
    assert sum(len(programs_in(MAC / "checks" / f"{topic}.sh")) for topic in TOPICS) > 15


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_each_check_says_what_it_is_about(topic: str) -> None:
    first, second, *_ = (MAC / "checks" / f"{topic}.sh").read_text().splitlines()
    assert first == "#!/bin/sh"
    assert second.startswith("# ")
    assert f"`{topic}`" in (MAC / "README.md").read_text()


def test_topics_are_listed() -> None:
    lines = check(MAC, "--list").stdout.splitlines()
    assert {line.split()[0] for line in lines} == TOPICS


def test_a_report_tells_what_was_right_wrong_and_not_tried(frame: Path) -> None:
    done = check(frame, HOME="/Users/somebody")
    assert done.returncode == 1
    assert "| good | right | " in done.stdout
    assert "| bad | WRONG | " in done.stdout
    assert "| absent | not tried | " in done.stdout
    assert "    a fault below ~/x\n" in done.stdout
    assert "    there is no Mac\n" in done.stdout
    assert "| Python | " in done.stdout
    assert "hours" not in done.stdout
    assert "found nothing" in done.stderr  # as it came


def test_topics_are_chosen_and_left_out(frame: Path) -> None:
    assert check(frame, "good", "absent").returncode == 0
    assert check(frame, "--without", "bad").returncode == 0
    assert "| hours | WRONG |" in check(frame, "--long").stdout
    assert check(frame, "hours").returncode == 1
    assert "no topic none" in check(frame, "none").stderr


def test_a_report_names_nobody() -> None:
    said = "~ is /Users/ada; /Users/ada/x and /Users/bob/y on Adas-Mac.local, Adas-Mac; Adas-Macs"
    told = private(said, "/Users/ada", "Adas-Mac.local")
    assert told == "~ is ~; ~/x and /Users/you/y on this-mac, this-mac; Adas-Macs"


def test_the_workflow_runs_every_topic_that_is_not_long_once() -> None:
    text = (MAC.parents[1] / ".github/workflows/macos.yml").read_text()
    apart: list[str] = []
    left_out: list[str] = []
    for words in map(str.split, re.findall(r"check\.sh ([^|\n]*) \|", text)):
        if words[0] == "--without":
            left_out += words[1].split(",")
        else:
            apart += words
    assert sorted(apart) == sorted(left_out)
    readme = (MAC / "README.md").read_text()
    assert [topic for topic in apart if f"`{topic}`" not in readme] == []
