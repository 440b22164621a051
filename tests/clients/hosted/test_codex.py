"""Codex and its search of the web, which the server runs: live, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Find, run_client
from tests.clients.hosted.conftest import Start
from tests.support.clients.codex import Run, add, configure, run_codex
from tests.support.clients.scripted import call
from tests.support.hosted.live import CITED, PLANS
from tests.support.server.rounds import browse
from tests.support.server.scripts import final

pytestmark = pytest.mark.slow

BROWSER = "## browser"


def test_it_searches_and_goes_on(client: Find, start: Start, tmp_path: Path) -> None:
    codex = client("codex")
    make = call("exec_command", {"cmd": "echo by a command > made.txt"})
    live = start({**PLANS, "Both": [browse("search", query="trees"), make, final("Made it.")]})
    add(configure(tmp_path, live.server), web_search="live")
    run = run_codex(codex, tmp_path, "Search for trees.")
    run.check()
    assert run.answer == CITED
    done = run.items("web_search")
    assert [one["action"]["type"] for one in done] == ["search", "open_page", "find_in_page"]
    assert done[0]["query"] == "trees"
    assert BROWSER in live.model.prompts[-1]
    again = run_codex(codex, tmp_path, "resume", "--last", "Both of it.")
    again.check()
    assert again.answer == "Made it."
    assert (tmp_path / "work/made.txt").read_text() == "by a command\n"
    # What was answered to the search came back sealed, and pages go on counting.
    assert "[3] trees" in live.model.prompts[-1]


@pytest.mark.parametrize("mode", ["cached", "disabled"])
def test_without_the_web_there_is_no_tool(
    client: Find, start: Start, tmp_path: Path, mode: str
) -> None:
    codex = client("codex")
    live = start(PLANS)
    add(configure(tmp_path, live.server), web_search=mode)
    # Without its sandbox it takes the live web for the cached one.
    command = [codex / "node_modules/.bin/codex", "exec", "--skip-git-repo-check", "--json"]
    done = run_client([*command, "Hello!"], tmp_path, CODEX_HOME=str(tmp_path / "codex"))
    assert Run(done).answer == "Hello."
    assert BROWSER not in live.model.prompts[-1]
