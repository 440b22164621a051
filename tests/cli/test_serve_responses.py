"""The Responses API of a real ``mlxoss serve``: a tool loop, kills, files it cannot use."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from mlxoss.last_exit import read_last_exit
from mlxoss.service.spec import LABEL
from mlxoss.store.migrations import APPLICATION_ID
from tests.support.api.strict import check_event, check_response
from tests.support.checkpoints import write_checkpoint
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.runner import environment, mlxoss

pytestmark = pytest.mark.slow

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": False,
}
ASKED: dict[str, Any] = {
    "model": "mlxoss-demo",
    "tools": [WEATHER],
    "temperature": 0,
    "reasoning": {"effort": "low"},
}
THINKING: dict[str, Any] = ASKED | {"reasoning": {"effort": "medium", "summary": "auto"}}


def client(daemon: Daemon) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, timeout=300)


def kept(daemon: Daemon) -> int:
    """How many responses ``/health`` counts: it leaves them out while the disk is slow."""
    while (store := daemon.health().get("store")) is None:
        time.sleep(0.05)
    count: int = store["responses"]
    return count


def kill(daemon: Daemon) -> None:
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL


def test_a_tool_loop_goes_on_after_the_daemon_was_killed(tmp_path: Path) -> None:
    with start_daemon(tmp_path) as daemon, client(daemon) as api:
        with api.responses.stream(input="What is the weather in Oslo?", **ASKED) as stream:
            for event in stream:
                if not event.type.endswith((".delta", ".done", ".completed")):
                    check_event(event.to_dict())
            first = stream.get_final_response()
        (call,) = [item for item in first.output if item.type == "function_call"]
        assert json.loads(call.arguments) == {"city": "Oslo"}
        kill(daemon)
    answer: Any = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": "18°C and sunny",
    }
    with start_daemon(tmp_path) as daemon, client(daemon) as api:
        assert kept(daemon) == 1
        assert check_response(api.responses.retrieve(first.id).to_dict()).id == first.id
        second = api.responses.create(input=[answer], previous_response_id=first.id, **ASKED)
        check_response(second.to_dict())
        assert second.output_text == "The weather in Oslo: 18°C and sunny"
        assert second.previous_response_id == first.id
        assert api.responses.retrieve(second.id).output_text == second.output_text
        listed = api.responses.input_items.list(second.id, order="asc")
        assert [item.type for item in listed] == ["function_call_output"]
        api.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError) as caught:
            api.responses.create(input="And?", previous_response_id=second.id, **ASKED)
        assert caught.value.code == "previous_response_not_found"


def test_a_client_that_stores_nothing_carries_its_loop_itself(tmp_path: Path) -> None:
    """As Codex does: ``store: false``, sealed reasoning, every item sent again."""
    asked = THINKING | {"store": False, "include": ["reasoning.encrypted_content"]}
    items: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    with start_daemon(tmp_path) as daemon, client(daemon) as api:
        first = api.responses.create(input=items, **asked)
        reasoning, call = first.output
        assert reasoning.type == "reasoning"
        assert call.type == "function_call"
        assert reasoning.content
        assert reasoning.summary[0].text == reasoning.content[0].text
        sealed = {**reasoning.to_dict(), "content": None, "summary": []}
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "4°C"}
        items += [sealed, call.to_dict(), output]
        second = api.responses.create(input=items, **asked)
        kill(daemon)
    with start_daemon(tmp_path) as daemon, client(daemon) as api:
        again = api.responses.create(input=items, **asked)
        check_response(again.to_dict())
        # What the daemon remembered of these calls by itself ended with it.
        bare = api.responses.create(input=[items[0], *items[2:]], **asked)
        with pytest.raises(openai.NotFoundError):
            api.responses.retrieve(first.id)
        assert kept(daemon) == 0
    assert again.usage is not None
    assert second.usage is not None
    assert bare.usage is not None
    assert again.usage.input_tokens == second.usage.input_tokens > bare.usage.input_tokens
    assert [item.type for item in again.output] == [item.type for item in second.output]


# The client's library still calls its WebSocket library the old way.
@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")
def test_the_official_client_s_websocket(tmp_path: Path) -> None:
    with (
        start_daemon(tmp_path) as daemon,
        client(daemon) as api,
        api.responses.connect() as opened,
    ):
        connection: Any = opened
        previous: str | None = None
        for text in ("My name is Ada.", "What is my name?"):
            connection.response.create(
                model="mlxoss-demo",
                input=text,
                temperature=0,
                reasoning={"effort": "low"},
                store=False,
                previous_response_id=previous,
            )
            for event in connection:
                if event.type == "response.completed":
                    break
            previous = event.response.id
        assert event.response.output_text == "Your name is Ada."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def damage_key(folder: Path) -> Path:
    (folder / "content.key").write_bytes(b"short")
    return folder / "content.key"


def make_foreign(folder: Path) -> Path:
    (folder / "responses.db").unlink()
    with closing(sqlite3.connect(folder / "responses.db")) as connection, connection:
        connection.execute("CREATE TABLE letters (text)")
    return folder / "responses.db"


def age_backwards(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "responses.db")) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        connection.execute("INSERT INTO migrations VALUES ('999_from_the_future', 1)")
        connection.commit()
    return folder / "responses.db"


UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a damaged key": (damage_key, "Remove it to start with a new one"),
    "another program's": (make_foreign, "Move it away, or give mlxoss another data folder"),
    "a newer database": (age_backwards, "Upgrade mlxoss"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_cannot_be_used_is_left_as_it_is_and_told(
    tmp_path: Path, checkpoint: Path, case: str
) -> None:
    flags = ("--model", str(checkpoint), "--port", "0")
    with start_daemon(tmp_path, "--model", str(checkpoint)) as daemon:
        assert daemon.stop(signal.SIGTERM) == 0
    folder = next((tmp_path / "mlxoss").rglob("content.key")).parent
    spoil, advice = UNUSABLE[case]
    file = spoil(folder)
    content = file.read_bytes()
    done = mlxoss(tmp_path, "serve", *flags)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("mlxoss: ")
    assert str(file) in said
    assert advice in said
    # Under a service manager starting again cannot help: 0, and the reason stays behind.
    done = subprocess.run(
        [sys.executable, "-m", "mlxoss", "serve", *flags],
        env=environment(tmp_path, {"XPC_SERVICE_NAME": LABEL}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = read_last_exit(folder)
    assert last is not None
    assert last.code == "store"
    assert advice in last.reason
    assert file.read_bytes() == content
    os.remove(file)
    with start_daemon(tmp_path, "--model", str(checkpoint)) as daemon:
        assert kept(daemon) == 0
