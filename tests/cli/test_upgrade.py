"""A daemon whose files are changed or removed: it serves on, says so, and starts anew once idle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxoss import __version__
from mlxoss.last_exit import START_ANEW
from mlxoss.service.spec import LABEL
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.installed import Installed
from tests.support.cli.mac import Mac
from tests.support.http import ask
from tests.support.ranks.served import Talk
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SUPERVISED = {"XPC_SERVICE_NAME": LABEL}
PAGES = (
    "/",
    *(f"/mlxoss/{name}" for name in ("page.css", "page.js", "chat.js", "calls.js", "parts.js")),
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
Start = Callable[..., Any]


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    made = Installed(tmp_path / "versions")
    made.add(__version__)
    made.switch(__version__)
    return made


def serve(installed: Installed, home: Path, *flags: str, **env: str) -> Any:
    return start_daemon(home, *flags, command=[installed.command], env=env)


@pytest.fixture
def served(installed: Installed, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of the first version that nobody would start again, loaded."""
    with serve(installed, tmp_path, WATCHED_FILE=str(tmp_path / "watched")) as daemon:
        daemon.wait_until_loaded()
        yield daemon


def upgraded(daemon: Daemon) -> dict[str, Any] | None:
    problems = daemon.health()["problems"]
    return next((each for each in problems if each["code"] == "upgraded"), None)


def wait_for(daemon: Daemon, words: str) -> dict[str, Any]:
    """The problem once it says these words."""
    found = until(lambda: (found := upgraded(daemon)) and words in found["message"] and found)
    assert isinstance(found, dict)
    return found


def fetch(daemon: Daemon, method: str, path: str, body: object = None) -> int:
    assert daemon.url is not None
    return ask(int(daemon.url.rpartition(":")[2]), method, path, body).status


def test_it_serves_on_without_its_files_and_reads_none(
    installed: Installed, served: Daemon, tmp_path: Path
) -> None:
    watched = tmp_path / "watched"
    read_before = watched.read_text()
    assert "/mlxoss/" in read_before
    shutil.rmtree(installed.root / __version__)
    user = [{"role": "user", "content": "Hello!"}]
    short = {"model": "m", "max_tokens": 8}
    assert fetch(served, "POST", "/v1/chat/completions", {**short, "messages": user}) == 200
    with_tool = {**short, "messages": user, "tools": [TOOL], "tool_choice": "required"}
    assert fetch(served, "POST", "/v1/chat/completions", with_tool) == 200
    assert fetch(served, "POST", "/v1/messages", {**short, "messages": user}) == 200
    assert fetch(served, "POST", "/v1/completions", {**short, "prompt": "Hello"}) == 200
    assert fetch(served, "POST", "/v1/responses", {"model": "m", "input": "Hello!"}) == 200
    assert fetch(served, "POST", "/v1/conversations", {}) == 200
    assert fetch(served, "POST", "/mlxoss/unload") == 200
    assert fetch(served, "POST", "/mlxoss/load") == 200
    for page in (*PAGES, "/openapi.json", "/metrics", "/v1/models"):
        assert fetch(served, "GET", page) == 200, page
    assert watched.read_text() == read_before
    problem = until(lambda: upgraded(served), pause_s=0.3)
    assert problem is not None
    assert "have changed or gone" in problem["message"]


@pytest.mark.parametrize("is_in_place", [False, True])
def test_by_hand_it_says_what_is_installed_and_goes_on(
    installed: Installed, served: Daemon, is_in_place: bool
) -> None:
    assert upgraded(served) is None
    if is_in_place:
        (init,) = (installed.root / __version__).rglob("mlxoss/__init__.py")
        init.write_text(init.read_text().replace(__version__, "9.9.9"))
    else:
        installed.add("9.9.9")
        installed.switch("9.9.9")
        shutil.rmtree(installed.root / __version__)
    found = wait_for(served, "9.9.9")
    assert found["message"] == f"mlxoss 9.9.9 is installed, and {__version__} still serves."
    assert found["remedy"] == "Stop it and start it again."
    assert served.process.poll() is None
    assert served.health()["version"] == __version__


def test_supervised_it_ends_once_idle_so_that_the_new_one_is_started(
    installed: Installed, tmp_path: Path
) -> None:
    with serve(installed, tmp_path, **SUPERVISED) as daemon:
        daemon.wait_until_loaded()
        talk = Talk(daemon)
        installed.add("9.9.9")
        installed.switch("9.9.9")
        shutil.rmtree(installed.root / __version__)
        assert until(lambda: daemon.health()["problems"], pause_s=0.3)
        body = {"model": "m", "input": "Hello!", "background": True}
        assert fetch(daemon, "POST", "/v1/responses", body) == 200
        assert daemon.process.poll() is None
        talk.stop()
        assert daemon.process.wait(120) == START_ANEW
    with serve(installed, tmp_path, **SUPERVISED) as daemon:
        daemon.wait_until_loaded()
        assert daemon.health()["version"] == "9.9.9"
        assert daemon.health()["store"]["responses"] == 1
        assert upgraded(daemon) is None


def test_it_waits_until_all_files_are_there(installed: Installed, tmp_path: Path) -> None:
    with serve(installed, tmp_path, **SUPERVISED) as daemon:
        daemon.wait_until_loaded()
        missing = next(installed.add("9.9.9").rglob("harmony/prompt.py"))
        aside = missing.rename(tmp_path / "aside.py")
        installed.switch("9.9.9")
        problem = wait_for(daemon, "cannot serve yet")
        assert f"there is no {missing}" in problem["message"]
        aside.rename(missing)
        (missing.parents[1] / "__init__.py").touch()
        installed.command.resolve().touch()
        assert daemon.process.wait(120) == START_ANEW


def test_installing_after_an_upgrade_starts_it_anew_at_once(mac: Mac) -> None:
    installed = Installed(mac.folder.parent / "versions")
    installed.add(__version__)
    installed.switch(__version__)
    mac.command = installed.command
    mac.install()
    before = mac.loaded()
    assert "Nothing to change" in mac.ok("install")
    installed.add("9.9.9")
    installed.switch("9.9.9")
    shutil.rmtree(installed.root / __version__)
    assert f"The service runs mlxoss {__version__}" in mac.ok("install")
    after = mac.loaded()
    assert after["health"]["version"] == "9.9.9"
    assert after["job"]["pid"] != before["job"]["pid"]


def test_under_launchd_the_new_version_comes_by_itself(mac: Mac) -> None:
    installed = Installed(mac.folder.parent / "versions")
    installed.add(__version__)
    installed.switch(__version__)
    mac.command = installed.command
    mac.install()
    assert mac.loaded()["health"]["version"] == __version__
    installed.add("9.9.9")
    installed.switch("9.9.9")
    shutil.rmtree(installed.root / __version__)
    until(lambda: (mac.status()["health"] or {}).get("version") == "9.9.9", pause_s=0.5)
