"""A rank other than 0 wires its own part of the weights, by its own machine."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.engine.ranks.following import Following
from mlxoss.engine.ranks.messages import Begin, Loaded, LoadShard, UnloadShard
from mlxoss.engine.wiring import note_wired, wired_bytes
from tests.ranks.test_channel import make_seat
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.metal import stand_in_metal


@pytest.mark.parametrize(("setting", "wires"), [("weights", True), ("off", False)])
def test_a_rank_wires_as_the_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, wires: bool
) -> None:
    monkeypatch.setenv("MLX_METAL_RESIDENCY_REFRESH_INTERVAL_MS", "0")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.3", ("", "", ""), "arm64"))
    folder = write_checkpoint(tmp_path, TinyModel(hidden=16))
    seat = make_seat(("127.0.0.1", 1), model=str(folder), wired=setting)
    following = Following(seat)
    # Of this rank alone: the default would be the ring that another test of this process made.
    following._group = mx.distributed.init(backend="mpi")
    assert following._group.size() == 1
    with stand_in_metal(24 << 30) as metal:
        assert isinstance(following.take(LoadShard()), Loaded)
        following.take(Begin(2, 0))
        assert len(metal.limits) == wires
        assert bool(wired_bytes()) is wires
        following.take(UnloadShard())
        assert metal.limits[1:] == [0] * wires
        assert wired_bytes() is None
    note_wired(None)
