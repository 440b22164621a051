"""The formula by Homebrew's rules, the plist and the package it installs.

Homebrew's own code loads and judges it where ``HOMEBREW_CODE`` names a checkout of Homebrew
(on a Mac: ``HOMEBREW_CODE=$(brew --repository)``); elsewhere ``stand_in.rb`` loads it.
"""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mlxoss
from mlxoss.service.spec import LABEL

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
FORMULA = ROOT / "Formula" / "mlxoss.rb"
TEXT = FORMULA.read_text()

Loaded = dict[str, Any]


def run(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=600, check=False, env=environment
    )


def brew(*words: str) -> subprocess.CompletedProcess[str]:
    """Homebrew's command of the checkout that is named; skips where none is."""
    code = os.environ.get("HOMEBREW_CODE")
    if not code:
        pytest.skip("HOMEBREW_CODE names no checkout of Homebrew")
    quiet = {"HOMEBREW_NO_AUTO_UPDATE": "1", "HOMEBREW_NO_ANALYTICS": "1"}
    return run([str(Path(code) / "bin" / "brew"), *words], HOMEBREW_DEVELOPER="1", **quiet)


def read(done: subprocess.CompletedProcess[str]) -> Loaded:
    assert done.returncode == 0, done.stderr
    loaded: Loaded = json.loads(done.stdout.splitlines()[-1])
    if isinstance(loaded["plist"], str):
        loaded["plist"] = plistlib.loads(loaded["plist"].encode())
    return loaded


def by_homebrew() -> Loaded:
    return read(brew("ruby", str(HERE / "homebrew.rb"), str(FORMULA)))


def by_the_stand_in() -> Loaded:
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("there is no ruby here")
    return read(run([ruby, str(HERE / "stand_in.rb"), str(FORMULA)]))


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return by_homebrew() if os.environ.get("HOMEBREW_CODE") else by_the_stand_in()


def test_it_is_built_from_the_clone_that_it_lies_in(loaded: Loaded) -> None:
    assert loaded["url"] == f"file://{ROOT}"
    assert loaded["fetcher"] == "GitDownloadStrategy"
    assert loaded["network"] is True
    assert loaded["problems"] == []
    assert set(loaded["needs"]) == {"python@3.14", "arm64 architecture", "macOS >= 14"}


def test_it_has_the_version_of_the_package(loaded: Loaded) -> None:
    """``brew upgrade`` goes by it."""
    assert loaded["version"] == mlxoss.__version__


def test_nothing_in_it_waits_to_be_filled_in() -> None:
    addresses = re.findall(r"\w+://[^\s\"]+", TEXT)
    assert addresses == [
        "https://github.com/openai/gpt-oss",
        *("file://#{File.dirname(__dir__)}",) * 2,
        "http://127.0.0.1:8000/v1",
    ]
    assert not re.search(r"sha256|\b[0-9a-f]{40,}\b|resource ", TEXT)


def test_the_order_of_stanzas_and_the_layout() -> None:
    order = [
        *("include ", "desc ", "homepage ", "url ", "version ", "license ", "head "),
        *("depends_on arch", "depends_on macos", 'depends_on "python@', "preserve_rpath"),
        *("allow_network_access!", "def install", "def caveats", "service do", "test do"),
    ]
    found = [re.search(rf"^  {re.escape(word)}", TEXT, re.MULTILINE) for word in order]
    places = [match.start() for match in found if match]
    assert len(places) == len(order)
    assert places == sorted(places)
    description = re.findall(r'^  desc "(.+)"$', TEXT, re.MULTILINE)[0]
    assert len(description) <= 80
    assert description[0].isupper()
    assert not description.endswith(".")
    assert TEXT.endswith("end\n")
    lines = TEXT.splitlines()
    assert not [line for line in lines if line != line.rstrip() or "\t" in line]
    assert not [line for line in lines if len(line) > 118]


def test_the_service_is_our_own_agent(loaded: Loaded) -> None:
    theirs = loaded["plist"]
    ours = plistlib.loads((ROOT / "launchd" / f"{LABEL}.plist").read_bytes())
    program, *arguments = theirs["ProgramArguments"]
    assert program.endswith("/opt/mlxoss/bin/mlxoss")
    assert arguments == ours["ProgramArguments"][1:]
    for key in ("Label", "RunAtLoad", "KeepAlive", "ProcessType", "ExitTimeOut"):
        assert theirs[key] == ours[key], key
    assert theirs["EnvironmentVariables"].keys() == ours["EnvironmentVariables"].keys()
    assert theirs["StandardOutPath"] == theirs["StandardErrorPath"]


def test_the_stand_in_says_what_homebrew_says() -> None:
    theirs = by_homebrew()
    prefix = theirs["plist"]["ProgramArguments"][0].removesuffix("/opt/mlxoss/bin/mlxoss")
    ours = json.loads(json.dumps(by_the_stand_in()).replace("/opt/homebrew", prefix))
    ours["needs"], theirs["needs"] = sorted(ours["needs"]), sorted(theirs["needs"])
    assert ours == theirs


def test_homebrews_cops_find_nothing() -> None:
    done = brew("style", str(FORMULA))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no offenses" in done.stdout


def test_homebrews_cops_look(tmp_path: Path) -> None:
    """They would find two stanzas in the wrong order."""
    moved = tmp_path / "Formula" / "mlxoss.rb"
    moved.parent.mkdir()
    line = "  depends_on arch: :arm64\n"
    assert line in TEXT
    moved.write_text(
        TEXT.replace(line, "").replace("  preserve_rpath", f"{line}\n  preserve_rpath")
    )
    done = brew("style", str(moved))
    assert done.returncode != 0
    assert "FormulaAudit/DependencyOrder" in done.stdout
