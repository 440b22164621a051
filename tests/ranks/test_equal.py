"""Ranks say the same with the settings for speed on and off, and what one process says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlxoss.config import Config
from mlxoss.daemon.assemble import load_backend
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.checkpoint.watch import ModelFiles
from tests.support.checkpoints import TinyModel, write_checkpoint, write_quantised
from tests.support.engine.leaning import make_lean
from tests.support.engine.switches import all_off
from tests.support.ranks.saying import say, to_json

SEED = 2024
GREEDY_WAYS = ("greedy row", "first turn", "turn alone")


def say_as_ranks(folder: Path, home: Path, what: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ranks.saying", str(folder), what],
        env=os.environ | {"MLXOSS_HOME": str(home)},
        stdout=subprocess.PIPE,
        timeout=1800,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_on_and_off_and_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    folder = make_lean(write_checkpoint(tmp_path / "own", TinyModel(hidden=16, seed=SEED)))
    off, on = say_as_ranks(folder, tmp_path, "full").values()
    assert on == off
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path))
    backend = load_backend(
        resolve_model(str(folder)), ModelFiles(folder), Config(**all_off()), None
    )
    alone = to_json(say(backend, full=True))
    backend.close()
    # Two parts are summed in another order than one, by 1e-6: that decides nothing greedy with this
    # seed, but may draw a neighbour, as what is drawn goes by a sum over the vocabulary.
    for way in GREEDY_WAYS:
        assert ids_of(off[way]) == ids_of(alone[way])


def ids_of(rows: Any) -> Any:
    return [[token_id for token_id, _ in row] for row in rows]


def test_quantised_experts_are_cut_and_then_fused(tmp_path: Path) -> None:
    """MXFP4 and 8 bits in bfloat16, where the sum of two parts rounds otherwise than one: so the
    ranks are held against themselves."""
    sys.stdout.write(f"seed {SEED}\n")
    base = write_checkpoint(tmp_path / "base", TinyModel(seed=SEED))
    folder = write_quantised(tmp_path / "own", base, bits=8, mode="mixed", dtype="bfloat16")
    off, on = say_as_ranks(folder, tmp_path, "briefly").values()
    assert on == off
