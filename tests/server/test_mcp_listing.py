"""MCP servers that hang as they are listed: real processes. Nobody waits in silence or for good."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.sync.client import connect

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.servers import open_mcp
from mlxoss.hosted.tools import HostedTools
from tests.server.conftest import Serve
from tests.server.test_hosted import Served, kinds
from tests.server.test_responses_streams import JSON, body, create, events_in, read_until, send
from tests.server.test_responses_websocket import turn
from tests.support.api.strict import check_event
from tests.support.http import ask
from tests.support.mcp.running import PATIENT, hostile, lives, write_servers
from tests.support.server.harness import DATE, Server
from tests.support.server.rounds import WEATHER, add, sums
from tests.support.server.scripts import HELLO, final
from tests.support.waiting import until

BEATS = 3
STUCK: Any = {"type": "mcp", "server_label": "stuck", "require_approval": "never"}
MUTE: Any = STUCK | {"server_label": "mute"}
FINE: Any = STUCK | {"server_label": "fine"}
HASTY = replace(PATIENT, list_s=0.2)
BEAT = b"event: response.in_progress"


class Stuck:
    """A server whose MCP server ``stuck`` never says a word; ``mute`` greets and then says no more,
    ``fine`` answers."""

    def __init__(self, serve: Serve, home: Path) -> None:
        self._serve = serve
        self._file = home / "started"
        mute = hostile("hang-tools/list")
        then = {"stuck": ["sleep", "1000"], "mute": [mute["command"], *mute["args"]]}
        servers = {label: self._noted(words) for label, words in then.items()}
        write_servers(home, {**servers, "fine": hostile("none")})

    def _noted(self, words: list[str]) -> Any:
        """The program of ``words``, which notes first that it was started."""
        script = f"echo $$ >>'{self._file}'; exec {shlex.join(words)}"
        return {"command": "/bin/sh", "args": ["-c", script]}

    def start(self, limits: McpLimits = PATIENT, **options: Any) -> Server:
        mcp = open_mcp(Config(tool_mcp="on"), limits)
        options = {"heartbeat_s": 0.02} | options
        return self._serve(HELLO, tools=HostedTools(mcp=mcp), **options)

    @property
    def started(self) -> list[int]:
        """The processes of those that hang, as they were started."""
        return [int(line) for line in self._file.read_text().split()] if self._file.exists() else []

    def is_asked(self) -> bool:
        return len(self.started) == 1

    def check_gone(self, server: Server) -> None:
        """Nothing of the request is left."""
        turns = server.services.turns
        until(lambda: turns.in_progress == 0)
        until(lambda: not any(map(lives, self.started)))
        status = turns.engine.status()
        assert (status.active, status.waiting) == (0, 0)


@pytest.fixture
def stuck(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stuck:
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path))
    return Stuck(serve, tmp_path)


def post(server: Server, **fields: Any) -> Any:
    return ask(server, "POST", "/v1/responses", body(**{"tools": [STUCK]} | fields), JSON)


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def read_beats(connection: Any) -> bytes:
    received = b""
    while received.count(BEAT) < 1 + BEATS:
        received += read_until(connection, BEAT)
    return received


def test_a_stream_begins_before_the_list_and_has_its_heartbeats(stuck: Stuck) -> None:
    server = stuck.start()
    with server.connect() as connection:
        send(connection, tools=[STUCK], stream=True)
        received = read_beats(connection)
        until(stuck.is_asked)
        (told,) = ask(server, "GET", "/mlxoss/requests").json["running"]
        assert told["tool"] == "mcp_list_tools"
    begun = ["created", "in_progress", "output_item.added", "mcp_list_tools.in_progress"]
    seen = names(events_in(received[: received.rindex(b"\n\n") + 2]))
    assert seen == [*begun, *["in_progress"] * (len(seen) - len(begun))]
    stuck.check_gone(server)


def test_a_client_that_leaves_a_whole_answer_ends_it(stuck: Stuck) -> None:
    server = stuck.start()
    with server.connect() as connection:
        send(connection, tools=[STUCK])
        until(stuck.is_asked)
    stuck.check_gone(server)


def test_one_that_fails_costs_its_tools_and_is_not_asked_again_at_once(stuck: Stuck) -> None:
    server = stuck.start(HASTY)
    seen = []
    for streamed in (False, True, False):
        answer = post(server, tools=[MUTE], stream=streamed)
        assert answer.status == 200, answer.body
        whole = events_in(answer.body)[-1]["response"] if streamed else answer.json
        listed, _, message = whole["output"]
        assert message["content"][0]["text"]
        assert (listed["type"], listed["tools"]) == ("mcp_list_tools", [])
        seen.append(listed["error"])
    assert "did not answer" in seen[0]
    assert seen == seen[:1] * 3
    assert len(stuck.started) == 1


def test_after_a_while_it_is_asked_again(stuck: Stuck) -> None:
    server = stuck.start(replace(HASTY, failed_s=0.0))
    for number in (1, 2):
        assert post(server, tools=[MUTE]).json["output"][0]["error"]
        assert len(stuck.started) == number


@pytest.mark.parametrize("streamed", [False, True])
def test_the_time_is_that_of_the_list_too(stuck: Stuck, streamed: bool) -> None:
    server = stuck.start(config=Config(date=DATE, request_timeout=1))
    answer = post(server, stream=streamed)
    assert b"request_timeout" in answer.body
    assert answer.status == (200 if streamed else 504)
    if streamed:
        events = events_in(answer.body)
        assert names(events)[-1] == "failed"
        assert events[-1]["response"]["output"] == []
    stuck.check_gone(server)


def test_so_it_is_where_tokens_are_counted(stuck: Stuck) -> None:
    server = stuck.start(config=Config(date=DATE, request_timeout=1))
    answer = ask(server, "POST", "/v1/responses/input_tokens", body(tools=[STUCK]), JSON)
    assert answer.status == 504
    assert answer.error["code"] == "request_timeout"
    until(lambda: not any(map(lives, stuck.started)))


def test_a_response_in_the_background_waits_by_itself(stuck: Stuck) -> None:
    server = stuck.start()
    created = create(server, tools=[STUCK], background=True)
    assert created["status"] == "queued"
    until(stuck.is_asked)
    path = f"/v1/responses/{created['id']}"
    assert ask(server, "GET", path).json["status"] == "in_progress"
    cancelled = ask(server, "POST", f"{path}/cancel").json
    assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
    stuck.check_gone(server)


def test_all_are_asked_at_once_and_told_as_they_answer(stuck: Stuck) -> None:
    server = stuck.start()
    with server.connect() as connection:
        send(connection, tools=[STUCK, FINE], stream=True)
        received = read_until(connection, b"event: response.mcp_list_tools.completed")
        while b"event: response.output_item.done" not in received[: received.rindex(BEAT)]:
            received += read_until(connection, BEAT)
    events = events_in(received[: received.rindex(b"\n\n") + 2])
    (done,) = [event for event in events if event["type"] == "response.output_item.done"]
    assert (done["output_index"], done["item"]["server_label"]) == (1, "fine")
    assert [tool["name"] for tool in done["item"]["tools"]] == ["fine"]
    stuck.check_gone(server)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [STUCK | {"server_label": "other"}]}, "tools[0].server_label"),
        ({"tools": [STUCK, STUCK]}, "tools[1].server_label"),
        ({"tools": [STUCK, WEATHER, WEATHER]}, "tools[2].name"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "mcp", "server_label": "other"}}, "tool_choice.server_label"),
        ({"input": "word " * 200_000}, "input"),
        (
            {"input": [{"type": "message", "role": "user", "content": [{"type": "odd"}]}]},
            "input[0].content[0]",
        ),
    ],
)
def test_what_is_wrong_without_the_list_is_told_without_it(
    stuck: Stuck, fields: dict[str, Any], param: str
) -> None:
    server = stuck.start()
    answer = post(server, stream=True, **fields)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert stuck.started == []
    assert server.services.turns.engine.status().waiting == 0


def test_a_list_takes_the_count_of_its_key(stuck: Stuck, tmp_path: Path) -> None:
    key = create_key(tmp_path, "laptop", 0)
    config = Config(date=DATE, max_requests_per_key=1)
    server = stuck.start(config=config, folder=tmp_path)
    client = server.client().with_options(api_key=key)
    with client.responses.create(model="any", input="Hi", tools=[STUCK], stream=True):
        until(stuck.is_asked)
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model="any", input="Hi")
    stuck.check_gone(server)
    assert client.responses.create(model="any", input="Hi").status == "completed"


@pytest.mark.parametrize("streamed", [False, True])
def test_what_only_the_list_tells_is_told_after_it(
    serve: Serve, encoding: Encoding, streamed: bool
) -> None:
    served = Served(serve, encoding, HELLO)
    choice = {"type": "mcp", "server_label": "sums", "name": "take"}
    answer = post(served.server, tools=[sums()], tool_choice=choice, stream=streamed)
    assert answer.status == (200 if streamed else 400)
    if streamed:
        failed = events_in(answer.body)[-1]
        assert failed["type"] == "response.failed"
        assert failed["response"]["error"]["param"] == "tool_choice.name"
        assert kinds_of(failed["response"]) == ["mcp_list_tools"]
    else:
        assert answer.error["param"] == "tool_choice.name"
    until(lambda: served.server.services.turns.in_progress == 0)
    assert served.ask("Hi", tools=[]).status == "completed"


def test_a_choice_of_what_is_listed_is_kept(
    serve: Serve, encoding: Encoding, guards: GrammarCompiler
) -> None:
    served = Served(serve, encoding, add(1, 2), final("3."), guards=guards)
    choice: Any = {"type": "mcp", "server_label": "sums", "name": "add"}
    response = served.ask("Add.", tools=[sums()], tool_choice=choice)
    assert kinds(response) == ["mcp_list_tools", "reasoning", "mcp_call", "message"]


def test_a_summary_comes_behind_the_list(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, final("We counted."), add(1, 2), final("3."))
    management: Any = [{"type": "compaction", "compact_threshold": 1}]
    events = list(
        served.ask("Add. " * 50, tools=[sums()], context_management=management, stream=True)
    )
    for number, event in enumerate(events):
        check_event(event.to_dict())
        assert event.sequence_number == number
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.output_index for event in done] == list(range(len(done)))
    assert kinds(events[-1].response) == [
        *("mcp_list_tools", "compaction", "reasoning", "mcp_call", "message")
    ]
    until(lambda: served.server.services.turns.in_progress == 0)


def test_a_prompt_alone_is_read_behind_the_list(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, HELLO)
    whole = post(served.server, tools=[sums()], generate=False).json
    assert kinds_of(whole) == ["mcp_list_tools"]
    (prompt,) = served.prompts
    assert "sums__add" in encoding.decode(prompt)


def test_over_a_websocket_it_is_the_same(stuck: Stuck) -> None:
    server = stuck.start(HASTY)
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as socket:
        last = turn(socket, input="Hi", tools=[MUTE])
        assert kinds_of(last["response"])[0] == "mcp_list_tools"
        assert last["type"] == "response.completed"


def kinds_of(response: dict[str, Any]) -> list[str]:
    return [item["type"] for item in response["output"]]
