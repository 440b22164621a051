"""What breaks around a running daemon: it serves what it still can, and says what is wrong."""

from __future__ import annotations

import http.client
import json
import math
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from mlxoss.cli.status.screen import to_lines
from mlxoss.cli.status.view import View
from mlxoss.config import Config
from mlxoss.service.health import Answered
from mlxoss.service.job import Job, JobState
from mlxoss.service.spec import LABEL
from mlxoss.service.status import ServiceStatus
from tests.support.checkpoints import TinyModel, write_checkpoint, write_outline
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.mac import Mac
from tests.support.formats import as_mxfp4, write

pytestmark = pytest.mark.slow

ASKED: dict[str, Any] = {"model": "any", "input": "Hello!", "max_output_tokens": 4}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@contextmanager
def served(home: Path, model: Path, *flags: str, **options: Any) -> Iterator[tuple[Daemon, Any]]:
    """A daemon and its official client."""
    with start_daemon(home, "--model", str(model), *flags, **options) as daemon:
        api = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, timeout=300)
        with api:
            yield daemon, api


def problems(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """What ``/health`` tells, by code; each is on the screen of ``mlxoss status`` too."""
    report = daemon.health()
    assert report["status"] in ("ok", "loading")
    job = Job(JobState.RUNNING, pid=report["pid"], runs=1, where="gui/501")
    status = ServiceStatus(
        "launchd",
        Path("x"),
        None,
        job,
        disabled=False,
        health=Answered(report),
        last_exit=None,
        concerns=(),
    )
    view = View(status, Config(), None, Path("x"), Path("x"))
    screen = " ".join(" ".join(to_lines(view)).split())
    found = {problem["code"]: problem for problem in report["problems"]}
    assert ("problem" in view.headline) is bool(found)
    for problem in found.values():
        assert problem["message"] in screen
        assert problem["remedy"] in screen
        assert 0 <= time.time() - problem["since"] < 600
    return found


def assert_chat_works(api: Any) -> None:
    messages = [{"role": "user", "content": "Hello!"}]
    api.chat.completions.create(model="any", messages=messages, max_tokens=4)


def obeying_modes() -> list[str]:
    """A prefix that takes from root what lets it write where its mode forbids it."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and there is no setpriv to forbid it")
    less = "-dac_override"
    return ["setpriv", f"--bounding-set={less}", f"--inh-caps={less}"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """The data folder's place, to be made read-only; writable again at the end."""
    data = tmp_path / "mlxoss" / "data"
    yield data
    data.chmod(0o700)


def test_a_read_only_data_folder(tmp_path: Path, checkpoint: Path, read_only: Path) -> None:
    prefix = obeying_modes()
    with served(tmp_path, checkpoint) as (daemon, api):
        before = api.responses.create(**ASKED)
        assert before.store is True
        assert problems(daemon) == {}
        assert daemon.stop(signal.SIGTERM) == 0
    read_only.chmod(0o500)
    with served(tmp_path, checkpoint, prefix=prefix) as (daemon, api):
        found = problems(daemon)
        assert found.keys() == {"data_folder", "store_in_memory"}
        assert "until the daemon ends" in found["store_in_memory"]["message"]
        assert_chat_works(api)
        # It works, and nobody is promised that it is kept.
        first = api.responses.create(**ASKED)
        second = api.responses.create(**ASKED, previous_response_id=first.id)
        assert (first.store, second.store) == (False, False)
        assert api.responses.retrieve(second.id) == second
        # What may be on the disk is not called missing.
        calls: list[Callable[[], Any]] = [
            lambda: api.responses.retrieve(before.id),
            lambda: api.responses.create(**ASKED, previous_response_id=before.id),
            lambda: api.conversations.create(),
        ]
        for call in calls:
            with pytest.raises(openai.InternalServerError) as caught:
                call()
            assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
            assert str(tmp_path) not in str(caught.value)
        assert any("error   mlxoss.server.storage: Responses are kept" in x for x in daemon.said)
    read_only.chmod(0o700)
    with served(tmp_path, checkpoint) as (daemon, api):
        assert problems(daemon) == {}
        assert api.responses.retrieve(before.id) == before


def test_two_daemons_with_one_folder(tmp_path: Path, checkpoint: Path) -> None:
    with (
        served(tmp_path, checkpoint) as (first, api),
        served(tmp_path, checkpoint) as (second, other),
    ):
        found = problems(second)
        assert found.keys() == {"store_in_memory"}
        assert (
            f"another mlxoss (process {first.process.pid})" in found["store_in_memory"]["message"]
        )
        assert problems(first) == {}
        assert other.responses.create(**ASKED).store is False
        assert api.responses.create(**ASKED).store is True


def test_a_database_that_another_program_locks(tmp_path: Path, checkpoint: Path) -> None:
    database = tmp_path / "mlxoss" / "data" / "responses.db"
    with served(tmp_path, checkpoint) as (daemon, api):
        before = api.responses.create(**ASKED)
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            events = list(api.responses.create(**ASKED, stream=True))
            assert [event.type for event in events[-2:]] == ["error", events[-1].type]
            assert events[-1].response.store is False
            found = problems(daemon)
            assert found.keys() == {"store_locked"}
            assert_chat_works(api)
            assert api.responses.retrieve(before.id) == before
            other.execute("ROLLBACK")
        assert api.responses.create(**ASKED).store is True
        assert problems(daemon) == {}


def test_a_log_folder_that_is_gone(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / "logs"
    log = folder / "deep" / "mlxoss.log"
    with served(tmp_path, checkpoint, "--log-file", str(log)) as (daemon, api):
        shutil.rmtree(folder)
        assert_chat_works(api)
        assert "POST /v1/chat/completions 200" in log.read_text()
        assert log.stat().st_mode & 0o777 == 0o600
        shutil.rmtree(folder)
        folder.write_text("a file where the folder was")
        assert_chat_works(api)
        found = problems(daemon)
        assert found.keys() == {"log_lost"}
        assert str(log) in found["log_lost"]["message"]
        folder.unlink()
        assert_chat_works(api)
        assert problems(daemon) == {}
        assert len(log.read_text().splitlines()) == 1
    assert not any("Traceback" in line for line in daemon.said)


def test_a_log_on_a_full_disk(tmp_path: Path, checkpoint: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    with served(tmp_path, checkpoint, "--log-file", "/dev/full") as (daemon, api):
        assert_chat_works(api)
        assert "No space left" in problems(daemon)["log_lost"]["message"]
        assert daemon.stop(signal.SIGTERM) == 0
    assert not any("Traceback" in line for line in daemon.said)


def ask_health(connection: http.client.HTTPConnection) -> Any:
    connection.request("GET", "/health")
    return json.load(connection.getresponse())


def test_no_more_files_can_be_opened(tmp_path: Path, checkpoint: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs a limit set from outside")
    with served(tmp_path, checkpoint) as (daemon, api):
        daemon.wait_until_loaded()
        assert_chat_works(api)
        pid, port = daemon.process.pid, int(str(daemon.url).rpartition(":")[2])
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as early:
            assert ask_health(early)["problems"] == []
            used = max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
            fill = [http.client.HTTPConnection("127.0.0.1", port, timeout=120) for _ in range(9)]
            for each in fill:
                each.connect()
            daemon.wait_until(
                lambda: [p["code"] for p in ask_health(early)["problems"]] == ["no_files"]
            )
            daemon.wait_until(lambda: sum(map(is_of_accepting, daemon.said)) >= 3)
            # Said once a second; asyncio itself says so a thousand times.
            times = [line[:19] for line in daemon.said if is_of_accepting(line)]
            assert max(map(times.count, times)) <= 2
            # Whoever is connected is answered while the others wait.
            while sum(map(is_of_accepting, daemon.said)) < 5:
                assert ask_health(early)["status"] == "ok"
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            for each in fill:
                assert ask_health(each)["problems"] == []
                each.close()


def is_of_accepting(line: str) -> bool:
    return "out of system resource" in line


def test_few_files_allow_few_connections(tmp_path: Path, checkpoint: Path) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("there is no prlimit here")
    prefix = ["prlimit", "--nofile=100:100"]
    with served(tmp_path, checkpoint, prefix=prefix) as (daemon, _):
        found = problems(daemon)
        assert found.keys() == {"few_connections"}
        assert "only 50 are taken" in found["few_connections"]["message"]


def test_model_files_that_change(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "tiny")
    weights = model / "model.safetensors"
    with served(tmp_path, model) as (daemon, api):
        daemon.wait_until_loaded()
        assert problems(daemon) == {}
        write_checkpoint(model, TinyModel(seed=1))
        assert problems(daemon).keys() == {"model_changed"}
        assert_chat_works(api)
        os.truncate(weights, weights.stat().st_size // 2)
        found = problems(daemon)
        assert found.keys() == {"model_damaged"}
        assert str(weights) in found["model_damaged"]["message"]
        assert_chat_works(api)


def test_a_model_that_the_memory_cannot_hold(tmp_path: Path) -> None:
    """It says so and stays, so that no manager starts it over and over."""
    if shutil.which("prlimit") is None:
        pytest.skip("there is no prlimit here")
    # Embeddings alone are 3.3 GB of zeros, none of them on the disk.
    model = write_outline(tmp_path / "big", TinyModel(hidden=2048))
    prefix = ["prlimit", f"--as={5 << 29}"]
    env = {"XPC_SERVICE_NAME": LABEL, "MLXOSS_LOG_FILE": str(tmp_path / "log")}
    with start_daemon(tmp_path, "--model", str(model), env=env, prefix=prefix) as daemon:
        daemon.wait_until(lambda: daemon.health()["status"] != "loading")
        report = daemon.health()
        assert report["status"] == "failed", report
        assert "the memory that is free" in report["error"].lower()
        assert "Choose a smaller model" in report["error"]
        assert report["store"]["responses"] == 0
        assert daemon.stop(signal.SIGTERM) == 0


def test_a_model_that_cannot_be_loaded_is_told_of_before_it_may_be_tried(tmp_path: Path) -> None:
    arrays, config = as_mxfp4(TinyModel(hidden=64))
    arrays["model.layers.1.mlp.router.bias"][0] = math.nan
    model = write(tmp_path / "spoilt", arrays, config)
    with start_daemon(tmp_path, "--model", str(model)) as daemon:
        daemon.wait_until(lambda: daemon.health()["status"] != "loading")
        report = daemon.health()
        assert report["status"] == "failed", report
        assert "model.layers.1.mlp.router.bias has values that are not numbers" in report["error"]
        assert "pull it anew" in report["error"]
        assert daemon.stop(signal.SIGTERM) == 0
    said = "".join(daemon.said)
    assert report["error"] in said
    assert "To try it" not in said


def test_the_context_that_is_told_while_loading_is_not_taken_back(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "tiny", TinyModel(layers=4))
    limit = "600000000"
    with start_daemon(tmp_path, "--model", str(model), "--memory-limit", limit) as daemon:
        at_first = daemon.health()["context_tokens"]
        daemon.wait_until_loaded()
        daemon.wait_until(lambda: "To try it" in "".join(daemon.said))
        afterwards = daemon.health()["context_tokens"]
    assert at_first <= afterwards < 131_072
    assert at_first > 0.7 * afterwards  # 16 MiB are put aside, much of so little


def test_the_service_tells_of_a_damaged_store(mac: Mac) -> None:
    data = mac.folder / "data"
    data.mkdir(parents=True)
    (data / "responses.db").write_bytes(b"no database " * 1000)
    mac.install()
    found = mac.loaded()
    (problem,) = found["health"]["problems"]
    assert (found["verdict"], problem["code"]) == ("healthy", "store_moved_aside")
    screen = " ".join(mac.ok("status").split())
    assert screen.startswith("mlxoss is running, with 1 problem ")
    assert "The response store was damaged: it was moved to" in screen
    (aside,) = data.glob("responses.db.damaged-*")
    assert "store_moved_aside" in mac("doctor").stdout
    assert "damaged databases" in mac.ok("privacy", MLXOSS_HOME=str(mac.folder))
    assert "is damaged" in mac.daemon_said()
    assert aside.read_bytes() == b"no database " * 1000
