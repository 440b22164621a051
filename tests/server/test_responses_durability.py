"""Nothing that a client was told of is lost when the process is killed, or the disk is full.

The environment's ``TEST_KILLS`` is how often the server is killed: some times by default. A busy
machine, where clients were told little until each kill, has more, of servers that live longer.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxoss.server.storage import DATABASE
from tests.support.api.strict import check_event
from tests.support.http import ask
from tests.support.server.lives import (
    Client,
    Life,
    Start,
    Told,
    assert_kept,
    assert_sound,
    create,
    events_in,
    nursery,
)

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TEST_KILLS", "15"))
CLIENTS = 4


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with nursery(tmp_path) as starter:
        yield starter


def wait(pid: int, seconds: float) -> None:
    time.sleep(seconds)


def stop(pid: int, seconds: float) -> None:
    """As a debugger does, or a machine that sleeps."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def fill_disk(pid: int, seconds: float) -> None:
    """Let no file grow for a while."""
    if sys.platform != "linux":
        return
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    time.sleep(seconds)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def live_and_die(life: Life, rng: random.Random, most_s: float) -> list[Told]:
    """Load the server and kill it: while it starts, or at some moment under load.

    What happens to it before that takes up to ``most_s`` each.
    """
    if rng.random() < 0.1:
        time.sleep(rng.uniform(0, 0.1))
        life.kill()
        return []
    port = life.port()
    clients = [Client(port, random.Random(rng.random())) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for trouble in (wait, *rng.choices((wait, stop, fill_disk), k=rng.randrange(4))):
        trouble(life.pid, rng.uniform(0, most_s))
    life.kill()
    for client in clients:
        client.join(120)
        assert not client.is_alive()
    return [client.told for client in clients]


def test_killed_at_random_moments(start: Start, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    everything = Told()
    for kills in range(1, 10 * KILLS + 1):
        for told in live_and_die(start(), rng, 0.4 * (1 + (kills - 1) // KILLS)):
            everything.whole |= told.whole
            everything.background |= told.background
            everything.deleted |= told.deleted
        if (tmp_path / DATABASE).exists():
            assert_sound(tmp_path)
        if kills >= KILLS and len(everything.whole) > KILLS and everything.background:
            break
    assert len(everything.whole) > KILLS
    assert everything.background
    life = start()
    assert_kept(life.port(), everything)
    print(  # noqa: T201
        f"{len(everything.whole)} whole, {len(everything.background)} in the background, "
        f"{len(everything.deleted)} deleted"
    )


def test_a_disk_that_is_full_is_told_until_there_is_room(tmp_path: Path) -> None:
    with nursery(tmp_path, small_disk(tmp_path)) as starter:
        life = starter()
        port = life.port()
        ballast = Path(f"/proc/{life.pid}/root{tmp_path}/ballast")
        ballast.write_bytes(bytes(1_000_000))
        filling = "text " * 4_000
        whole: dict[str, dict[str, Any]] = {}
        while (response := json.loads(create(port, input=filling)))["store"]:
            whole[response["id"]] = response
        (problem,) = ask(port, "GET", "/health").json["problems"]
        assert problem["code"] == "store_full"
        assert "No room left on the disk" in problem["message"]
        chat = {"model": "any", "messages": [{"role": "user", "content": "Hello!"}]}
        assert ask(port, "POST", "/v1/chat/completions", chat).json["choices"]
        assert_kept(port, Told(whole))
        ballast.unlink()
        again = json.loads(create(port, input=filling))
        assert again["store"] is True
        assert ask(port, "GET", "/health").json["problems"] == []
        life.kill()
        port = starter().port()
        assert_kept(port, Told(whole | {again["id"]: again}))


def small_disk(folder: Path) -> list[str]:
    """A prefix that runs what follows with a disk of 3 MB at ``folder``."""
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["sh", "-c", 'mount -t tmpfs -o size=3m tmpfs "$0" && exec "$@"', str(folder)]
    if shutil.which("unshare") is None:
        pytest.skip("a small disk cannot be mounted here")
    if subprocess.run([*space, *mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    return [*space, *mount]


def test_a_full_disk_is_told_and_the_server_goes_on(start: Start, tmp_path: Path) -> None:
    port = start(0.001, 600_000).port()
    whole: list[dict[str, Any]] = []
    filling = "text " * 4_000
    while (events := events_in(create(port, stream=True, input=filling)))[-2]["type"] != "error":
        whole.append(events[-1]["response"])
    for event in events:
        check_event(event)
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["store"] is False
    assert events[-2]["code"] == "store_failed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    folded = json.loads(create(port, input=filling))
    assert (folded["status"], folded["store"]) == ("completed", False)
    refused = json.loads(create(port, input=filling, background=True))
    assert refused["error"]["type"] == "server_error"
    assert whole
    assert_kept(port, Told({response["id"]: response for response in whole}))
    assert ask(port, "GET", "/health").json["status"] == "ok"
    assert_sound(tmp_path)


def test_a_background_response_whose_disk_fills_up_is_told_as_failed(
    start: Start, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("needs a limit set from outside")
    life = start(0.05)
    port = life.port()
    path = f"/v1/responses/{json.loads(create(port, background=True))['id']}"
    limits = resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    events = events_in(ask(port, "GET", f"{path}?stream=true").body)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    failed = events[-1]["response"]
    assert (failed["status"], failed["store"]) == ("failed", False)
    assert ask(port, "GET", path).json == failed
    assert b"Cannot cancel a failed response." in ask(port, "POST", f"{path}/cancel").body
    resource.prlimit(life.pid, resource.RLIMIT_FSIZE, limits)
    again = json.loads(create(port))
    assert again["store"] is True
    life.kill()
    port = start().port()
    assert_kept(port, Told({again["id"]: again}))
    assert ask(port, "GET", path).json["status"] == "failed"
    assert ask(port, "DELETE", path).json["deleted"] is True
    assert_sound(tmp_path)
