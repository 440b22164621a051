"""A daemon, its ranks and a pull keep their machines from idle sleep, and nothing longer."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.caffeinate import make_caffeinate
from tests.support.cli.daemon import start_daemon
from tests.support.cli.hub_server import Repo, serve_hub
from tests.support.cli.runner import mlxoss
from tests.support.ranks.served import Talk, complete, pids, write_hosts
from tests.support.waiting import until


@pytest.mark.slow
def test_nothing_is_held_after_the_last_turn(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    with start_daemon(tmp_path, env={"MLXOSS_CAFFEINATE": str(fake.command)}) as daemon:
        daemon.wait_until_loaded()
        assert fake.starts() == []  # to load a model is nobody's request
        complete(daemon)
        until(lambda: fake.holders() == [daemon.process.pid])
        complete(daemon)
        until(lambda: not fake.holders())
        assert len(fake.starts()) == 1
        assert daemon.health()["awake"] == {"state": "ready"}


@pytest.mark.slow
def test_nothing_is_held_after_a_kill_and_all_ranks_hold_until_then(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    flags = ("--hostfile", str(write_hosts(tmp_path, 2)), "--rank-timeout", "600")
    env = {"MLXOSS_CAFFEINATE": str(fake.command)}
    with start_daemon(tmp_path, *flags, env=env) as daemon:
        daemon.wait_until_loaded()
        talk = Talk(daemon)
        until(lambda: sorted(fake.holders()) == sorted(pids(daemon)))
        daemon.process.send_signal(signal.SIGKILL)
        until(lambda: not fake.holders())
        talk.end()


@pytest.mark.slow
def test_all_ranks_let_go_after_the_last_turn(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    flags = ("--hostfile", str(write_hosts(tmp_path, 2)), "--rank-timeout", "600")
    env = {"MLXOSS_CAFFEINATE": str(fake.command)}
    with start_daemon(tmp_path, *flags, env=env) as daemon:
        daemon.wait_until_loaded()
        complete(daemon)
        until(lambda: sorted(fake.holders()) == sorted(pids(daemon)))
        until(lambda: not fake.holders())


@pytest.mark.slow
def test_a_group_told_to_let_its_hosts_sleep_holds_nothing(tmp_path: Path) -> None:
    fake = make_caffeinate(tmp_path)
    flags = ("--hostfile", str(write_hosts(tmp_path, 2)), "--keep-awake", "off")
    env = {"MLXOSS_CAFFEINATE": str(fake.command)}
    with start_daemon(tmp_path, *flags, env=env) as daemon:
        daemon.wait_until_loaded()
        complete(daemon)
    assert fake.starts() == []


@pytest.mark.parametrize("wanted", ["on", "off"])
def test_a_pull_holds_too_unless_it_is_not_wanted(tmp_path: Path, wanted: str) -> None:
    fake = make_caffeinate(tmp_path)
    with serve_hub() as hub:
        config = json.dumps({"model_type": "gpt_oss", "max_position_embeddings": 4096}).encode()
        files = {"config.json": config, "model.safetensors": b"0" * 1000}
        hub.repos["org/tiny"] = Repo("c0ffee" + "0" * 34, files)
        env = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "MLXOSS_CAFFEINATE": str(fake.command),
            "MLXOSS_KEEP_AWAKE": wanted,
        }
        done = mlxoss(tmp_path, "models", "pull", "org/tiny", env=env)
    assert done.returncode == 0, done.stderr
    assert len(fake.starts()) == (wanted == "on")
    assert fake.holders() == []
