"""What makes a browser: settings, a key, and what doctor says of them."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss import paths
from mlxoss.config import Config
from mlxoss.errors import ConfigError, StoreError
from mlxoss.findings import Level
from mlxoss.harmony.encoding import Encoding
from mlxoss.hosted.browser.check import check_browser
from mlxoss.hosted.browser.keys import (
    SEARCH_KEYS_FILE,
    drop_search_keys,
    keep_search_key,
    read_search_key,
)
from mlxoss.hosted.browser.tool import open_browser
from mlxoss.hosted.tools import BrowserTool
from tests.hosted.browser.test_engines import searxng, status
from tests.support.internet import Answer, Internet


def test_keys_are_kept_for_their_owner(tmp_path: Path) -> None:
    assert read_search_key(tmp_path, "exa") is None
    assert not drop_search_keys(tmp_path)
    keep_search_key(tmp_path, "exa", "first")
    keep_search_key(tmp_path, "brave", "other")
    keep_search_key(tmp_path, "exa", "second")
    assert read_search_key(tmp_path, "exa") == "second"
    assert read_search_key(tmp_path, "brave") == "other"
    assert stat.S_IMODE((tmp_path / SEARCH_KEYS_FILE).stat().st_mode) == 0o600
    assert drop_search_keys(tmp_path)
    assert read_search_key(tmp_path, "exa") is None


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "é", "x" * 1001])
def test_what_is_no_key(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        keep_search_key(tmp_path, "exa", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": ["canary"]}', '"canary"'])
def test_a_damaged_file_of_keys(content: str, tmp_path: Path) -> None:
    (tmp_path / SEARCH_KEYS_FILE).write_text(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        read_search_key(tmp_path, "exa")
    assert "canary" not in str(caught.value)
    with pytest.raises(StoreError, match="is damaged"):
        keep_search_key(tmp_path, "exa", "key")


def test_a_browser_is_made_where_it_can_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    encoding: Encoding,
) -> None:
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path))
    assert open_browser(Config()) is None
    assert caplog.text == ""
    assert open_browser(Config(tool_browser="searxng")) is None
    assert "searxng_url is not set" in caplog.text
    assert open_browser(Config(tool_browser="exa")) is None
    assert "There is no key for exa: mlxoss tools enable browser --exa" in caplog.text
    keep_search_key(paths.data_dir(), "exa", "canary")
    for config in (
        Config(tool_browser="exa"),
        Config(tool_browser="searxng", searxng_url="http://localhost:1"),
    ):
        browser: BrowserTool | None = open_browser(config, lambda: encoding)
        assert browser is not None
        session = browser.session("a", next_cursor=0, said=(), allowed_domains=())
        assert session.page(0) is None
        asyncio.run(browser.close())
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        (searxng(), Level.OK, "searches by SearXNG at http://127.0.0.1"),
        (searxng(("html",)), Level.FAIL, "needs json in the list search.formats"),
        (status(502), Level.FAIL, "the status 502"),
    ],
)
def test_doctor_asks_searxng_for_nothing(
    answer: Answer, level: Level, text: str, internet: Internet, tmp_path: Path
) -> None:
    with internet.site("x.example", answer) as seen:
        (port,) = internet.ports.values()
        config = Config(tool_browser="searxng", searxng_url=f"http://127.0.0.1:{port}/searx")
        found = check_browser(config, tmp_path)
    assert found.level is level
    assert text in found.detail
    assert (level is Level.OK) == (found.remedy is None)
    assert [request.path for request in seen] == ["/searx/search?q=&format=json"]
    gone = check_browser(config, tmp_path)
    assert (gone.level, "ConnectionRefusedError" in gone.detail) == (Level.FAIL, True)


def test_doctor_looks_for_the_key(tmp_path: Path) -> None:
    found = check_browser(Config(tool_browser="brave"), tmp_path)
    assert found.level is Level.FAIL
    keep_search_key(tmp_path, "brave", "canary")
    found = check_browser(Config(tool_browser="brave"), tmp_path)
    assert (found.level, "canary" in found.detail) == (Level.OK, False)
    (tmp_path / SEARCH_KEYS_FILE).write_text("{")
    assert "is damaged" in check_browser(Config(tool_browser="brave"), tmp_path).detail


def test_nothing_of_it_is_imported_with_the_command() -> None:
    looked = "import sys, mlxoss.cli.main; print([n for n in sys.modules if 'hosted' in n])"
    done = subprocess.run(
        [sys.executable, "-c", looked], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
