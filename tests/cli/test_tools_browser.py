"""``mlxoss tools enable browser`` and what the other commands say of it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.cli.runner import environment, mlxoss
from tests.support.waiting import HANG_S, until

KEY = "canary-key-1234"


def settings(home: Path) -> dict[str, object]:
    told: dict[str, object] = json.loads(mlxoss(home, "config", "list", "--json").stdout)
    return {name: told[name] for name in ("tool_browser", "searxng_url")}


def told(home: Path) -> dict[str, str]:
    rows = json.loads(mlxoss(home, "tools", "--json").stdout)
    (row,) = (row for row in rows if row["name"] == "browser")
    return {name: str(value) for name, value in row.items()}


def test_searxng_is_enabled_and_disabled(tmp_path: Path) -> None:
    assert settings(tmp_path) == {"tool_browser": "off", "searxng_url": None}
    url = "http://localhost:1/searx"
    done = mlxoss(tmp_path, "tools", "enable", "browser", "--searxng", url)
    assert (done.returncode, done.stdout) == (0, "It takes effect with: mlxoss restart\n")
    assert settings(tmp_path) == {"tool_browser": "searxng", "searxng_url": url}
    assert (told(tmp_path)["state"], "ConnectionRefused" in told(tmp_path)["about"]) == (
        "bad",
        True,
    )
    again = mlxoss(tmp_path, "tools", "enable", "browser", "--searxng", url)
    assert again.stdout == "The settings say so already.\n"
    assert "goes to the search engine" in mlxoss(tmp_path, "privacy").stdout
    assert mlxoss(tmp_path, "tools", "disable", "browser").returncode == 0
    assert settings(tmp_path) == {"tool_browser": "off", "searxng_url": None}
    assert "goes to the search engine" not in mlxoss(tmp_path, "privacy").stdout


def test_a_key_is_in_no_setting_and_no_output(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "tools", "enable", "browser", "--exa", stdin=f"{KEY}\n".encode())
    assert done.returncode == 0, done.stderr
    assert settings(tmp_path) == {"tool_browser": "exa", "searxng_url": None}
    said = done.stdout + done.stderr + mlxoss(tmp_path, "privacy").stdout
    assert KEY not in said
    assert "the keys of search engines" in said
    holding = [file for file in tmp_path.rglob("*") if file.is_file() and KEY in file.read_text()]
    assert [(file.name, file.stat().st_mode & 0o777) for file in holding] == [
        ("search-keys.json", 0o600)
    ]
    assert told(tmp_path)["state"] == "on"
    assert KEY not in json.dumps(told(tmp_path))
    done = mlxoss(tmp_path, "tools", "disable", "browser")
    assert done.stdout.splitlines()[1:] == ["The keys are removed."]
    assert not holding[0].exists()


def test_at_a_terminal_it_is_asked_for_without_echo(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlxoss", "tools", "enable", "browser", "--you"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(tmp_path),
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        # What is typed before the echo is off is thrown away.
        until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO)
        terminal.write(f"{KEY}\n".encode())
        try:
            while piece := terminal.read(1000):
                said += piece
        except OSError:  # the terminal's end
            pass
    assert process.wait(HANG_S) == 0, said
    assert b"Key for you" in said
    assert KEY.encode() not in said
    assert b"It takes effect with" in said
    assert settings(tmp_path)["tool_browser"] == "you"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "Name one: --searxng URL"),
        (("--exa", "--brave"), "Name one: --searxng URL"),
        (("--exa", "--searxng", "http://localhost"), "Name one"),
        (("--searxng", "localhost:8080"), "--searxng must be a web address"),
        (("--searxng", "http://u:p@localhost"), "--searxng must be a web address"),
        (("--searxng", "http://localhost/?q=1"), "--searxng must be a web address"),
        (("--searxng", ""), "--searxng must be a web address"),
        (("--exa",), "This is no key for exa."),
    ],
)
def test_what_cannot_be_enabled(words: tuple[str, ...], text: str, tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "tools", "enable", "browser", *words)
    assert done.returncode == 2
    assert text in done.stderr
    assert settings(tmp_path) == {"tool_browser": "off", "searxng_url": None}
