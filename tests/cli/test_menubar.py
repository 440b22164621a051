"""``mlxoss menubar``: the plugin that it prints, run as SwiftBar and xbar run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cli.status.menubar import to_menu, to_script
from mlxoss.service.health import Answered, Refused, Silent
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import environment, mlxoss

URL = "http://127.0.0.1:8000"
PLUGIN = "/plug ins/mlxoss.10s.sh"
OK: dict[str, Any] = {
    "status": "ok",
    "model": "gpt-oss-20b",
    "active_requests": 2,
    "queued_requests": 1,
    "decode_tokens_per_s": 41.6,
    "prefill_tokens_per_s": 900.2,
    "problems": [],
}
ITEM = re.compile(r'.+ \| bash="(?P<file>[^"]+)" param1=(?P<word>\w+) terminal=false refresh=true')


def menu(report: dict[str, Any], *, is_installed: bool = False) -> list[str]:
    return list(to_menu(Answered(report), URL, PLUGIN, is_installed=is_installed))


def test_a_busy_one() -> None:
    bar, line, *body = menu(OK, is_installed=True)
    assert (bar, line) == ("mlxoss 42 tok/s +1", "---")
    assert body[:3] == [
        "gpt-oss-20b (ok)",
        "2 active, 1 queued",
        "decode 42 tok/s, prefill 900 tok/s (last minute)",
    ]
    assert f"Open the page | href={URL}/" in body
    words = {match["word"]: match["file"] for each in body if (match := ITEM.fullmatch(each))}
    assert words == {"unload": PLUGIN, "stop": PLUGIN}


def test_an_idle_one_an_unloaded_one_and_one_that_loads() -> None:
    idle = menu(OK | {"active_requests": 0, "queued_requests": 0})
    assert idle[0] == "mlxoss ●"
    unloaded = menu(OK | {"status": "unloaded", "active_requests": 0})
    assert unloaded[0] == "mlxoss ◌"
    assert any("param1=load " in line for line in unloaded)
    assert not any("param1=unload" in line for line in unloaded)
    loading = menu(OK | {"status": "loading"})
    assert loading[0] == "mlxoss loading"
    assert not any("param1" in line for line in loading)


def test_what_is_wrong_is_shown_and_nothing_in_it_is_taken_for_parameters() -> None:
    problem = {"message": "No | bash=/bin/rm\nhere", "remedy": "", "code": "", "since": 0}
    shown = menu(OK | {"problems": [problem], "model": "a | href=x", "active_requests": 0})
    assert shown[0] == "mlxoss ● ⚠"
    assert "⚠ No ¦ bash=/bin/rm here" in shown
    assert "a ¦ href=x (ok)" in shown
    hanging = list(to_menu(Silent("no answer"), URL, PLUGIN, is_installed=True))
    assert hanging[0] == "mlxoss ⚠"
    locked = menu({"status": "ok"})
    assert locked[0] == "mlxoss ●"


def test_one_that_does_not_run() -> None:
    stopped = list(to_menu(Refused(""), URL, PLUGIN, is_installed=True))
    assert stopped[:3] == ["mlxoss ○", "---", "Not running"]
    assert ITEM.fullmatch(stopped[3])
    assert list(to_menu(Refused(""), URL, PLUGIN, is_installed=False))[3].endswith("mlxoss serve")


def test_a_program_that_is_gone_and_names_with_quotes(tmp_path: Path) -> None:
    script = to_script(["/no where/it's/mlxoss"], {"MLXOSS_HOME": "/a b/it's"})
    (tmp_path / "plugin.sh").write_text(script)
    done = subprocess.run(["sh", "plugin.sh"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == ["mlxoss ?", "---"]


def run(plugin: Path, port: int, *words: str) -> list[str]:
    """As a program without a shell's settings runs it; the port alone is told."""
    env = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "MLXOSS_PORT": str(port)}
    done = subprocess.run([plugin, *words], env=env, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


@pytest.mark.slow
def test_the_printed_plugin_against_a_server(tmp_path: Path) -> None:
    """Running, unloaded by the plugin's own item, loaded again, and stopped."""
    plugin = tmp_path / "plug ins" / "mlxoss.10s.sh"
    plugin.parent.mkdir()
    printed = mlxoss(tmp_path, "menubar")
    assert (printed.returncode, printed.stderr) == (0, "")
    for name in ("title", "version", "author", "desc", "dependencies"):
        assert re.search(rf"^# <xbar\.{name}>.+</xbar\.{name}>$", printed.stdout, re.MULTILINE)
    plugin.write_text(printed.stdout)
    plugin.chmod(0o755)
    assert environment(tmp_path)["MLXOSS_HOME"] in printed.stdout
    with start_daemon(tmp_path) as daemon:
        daemon.wait_until_loaded()
        port = int(str(daemon.url).rpartition(":")[2])
        shown = run(plugin, port)
        assert shown[:2] == ["mlxoss ●", "---"]
        assert f"Open the page | href={daemon.url}/" in shown
        for word, bar in (("unload", "mlxoss ◌"), ("load", "mlxoss ●")):
            (item,) = (each for each in run(plugin, port) if f"param1={word} " in each)
            match = ITEM.fullmatch(item)
            assert match is not None
            run(Path(match["file"]), port, match["word"])
            assert run(plugin, port)[0] == bar
        assert daemon.stop(signal.SIGTERM) == 0
    assert run(plugin, port)[:3] == ["mlxoss ○", "---", "Not running"]
