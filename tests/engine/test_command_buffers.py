"""How large Metal's command buffers are to be, and that MLX is told before it looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.config import Config, ConfigFile, load_config
from mlxoss.engine.capacity import step_bytes
from mlxoss.engine.command_buffers import (
    ELEMENTS,
    OPERATIONS,
    CommandBuffers,
    announce,
    announce_here,
    are_large,
    choose,
)
from mlxoss.errors import ConfigError
from tests.engine.test_attention_memory import OF_20B
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.runner import environment

GIB = 1 << 30
LARGE, HUGE = CommandBuffers(1000, 400), CommandBuffers(1000, 2000)


@pytest.mark.parametrize(
    ("setting", "weights", "memory", "chosen"),
    [
        ("auto", 12_100_000_000, 24 * GIB, LARGE),
        ("auto", 12_100_000_000, 512 * GIB, LARGE),
        ("auto", 12_100_000_000, 16 * GIB, None),
        ("auto", 65_000_000_000, 96 * GIB, HUGE),
        ("auto", 65_000_000_000, 64 * GIB, None),
        ("auto", 65_000_000_000 // 2, 64 * GIB, None),
        ("auto", 65_000_000_000 // 4, 64 * GIB, LARGE),
        ("mlx", 12_100_000_000, 128 * GIB, None),
        ("200/1", 65_000_000_000, 8 * GIB, CommandBuffers(200, 1)),
    ],
)
def test_what_is_chosen(
    setting: str, weights: int, memory: int, chosen: CommandBuffers | None
) -> None:
    assert choose(setting, weights, memory) == chosen


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {OPERATIONS: "1000", ELEMENTS: "400"}),
        ({OPERATIONS: "7"}, {OPERATIONS: "7", ELEMENTS: "400"}),
        ({OPERATIONS: "7", ELEMENTS: "8"}, {OPERATIONS: "7", ELEMENTS: "8"}),
    ],
)
def test_what_the_user_set_stays(before: dict[str, str], after: dict[str, str]) -> None:
    announce(LARGE, before)
    assert before == after


def test_what_is_left_to_mlx_is_not_set() -> None:
    env: dict[str, str] = {}
    announce(None, env)
    assert env == {}


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_only_metal_has_them(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "environ", {})
    announce_here("200/300", 0)
    wanted = {OPERATIONS: "200", ELEMENTS: "300"} if platform == "darwin" else {}
    assert dict(os.environ) == wanted


def test_a_setting_without_effect_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(sys, "platform", "linux")
    announce_here("auto", 0)
    assert caplog.text == ""
    announce_here("200/300", 0)
    assert "command_buffers is without effect" in caplog.text


@pytest.mark.parametrize("text", ["auto", "mlx", "1000/400", "1/1", "AUTO"])
def test_the_setting(text: str, tmp_path: Path) -> None:
    file = ConfigFile(tmp_path / "none")
    assert load_config({"command_buffers": text}, {}, file).command_buffers == text.lower()


@pytest.mark.parametrize("text", ["", "0/400", "1000", "1000/", "/400", "-1/2", "1e3/4", "1/2/3"])
def test_what_is_no_setting(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--command-buffers must be auto, mlx, or two"):
        load_config({"command_buffers": text}, {}, ConfigFile(tmp_path / "none"))


@pytest.mark.parametrize(
    ("told", "large"), [(None, False), ("40", False), ("50", False), ("400", True), ("x", False)]
)
def test_a_step_counts_what_large_buffers_leave_behind(
    monkeypatch: pytest.MonkeyPatch, told: str | None, large: bool
) -> None:
    monkeypatch.delenv(ELEMENTS, raising=False)
    usual = step_bytes(OF_20B, 8, 24_576, has_metal=True)
    if told is not None:
        monkeypatch.setenv(ELEMENTS, told)
    assert are_large() is large
    more = step_bytes(OF_20B, 8, 24_576, has_metal=True) - usual
    assert (600e6 < more < 900e6) if large else more == 0


# The one platform that this pretends to be is told to the module that asks; everything else is as
# it is here. Whoever imports MLX is watched from outside.
_WATCHED = """
import os, sys, types
from mlxoss.engine import command_buffers

command_buffers.sys = types.SimpleNamespace(platform="darwin")

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "mlx.core":
            print(os.environ.get("MLX_MAX_OPS_PER_BUFFER"), flush=True)
            print(os.environ.get("MLX_MAX_MB_PER_BUFFER"), flush=True)

sys.meta_path.insert(0, Watch())
"""
_DAEMON = """
from mlxoss.config import Config
from mlxoss.daemon.assemble import run
run(Config(host="127.0.0.1", port=0, model=sys.argv[1], command_buffers="123/456"))
"""
_RANK = """
import socket, threading
from mlxoss.engine.ranks.channel import welcome
from mlxoss.engine.ranks.values import Seat
from mlxoss.engine.ranks.worker import Worker

listening = socket.create_server(("127.0.0.1", 0))

def lead():
    global connection
    connection, _ = listening.accept()
    welcome(connection, bytes(32))

threading.Thread(target=lead, daemon=True).start()
Worker(Seat(
    rank=1, size=2, ips=("127.0.0.1",), backend="ring", rdma=(), leader=listening.getsockname(),
    secret="00" * 32, timeout_s=30.0, envs={}, model=sys.argv[1], memory_limit=None,
    prefix_bytes=None, wired="auto", command_buffers="123/456",
)).run()
"""
_BENCH = """
from mlxoss.cli.bench.in_process import load
from mlxoss.engine.checkpoint.loader import resolve_model
os.environ["MLXOSS_COMMAND_BUFFERS"] = "123/456"
load(resolve_model(sys.argv[1]), 1, 1)
"""


@pytest.mark.parametrize("program", [_DAEMON, _RANK, _BENCH], ids=["daemon", "rank", "bench"])
def test_mlx_is_told_before_it_is_imported(tmp_path: Path, program: str) -> None:
    folder = write_checkpoint(tmp_path / "m", TinyModel(hidden=16))
    with subprocess.Popen(
        [sys.executable, "-c", _WATCHED + program, str(folder)],
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(2)]
        process.kill()
    assert told == ["123", "456"]


def test_the_default_is_auto() -> None:
    assert Config().command_buffers == "auto"
