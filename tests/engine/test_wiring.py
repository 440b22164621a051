"""What is wired, when, and for how long: the weights, while they are there, and never more."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from mlxoss.config import Config
from mlxoss.daemon.assemble import load_backend
from mlxoss.engine.checkpoint.loader import load_folder, resolve_model
from mlxoss.engine.checkpoint.watch import ModelFiles
from mlxoss.engine.counters import read_mlx_memory
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.wiring import Wiring, choose_wiring, note_wired, renew_wired, wired_bytes
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import make_backend, make_request, run_batch
from tests.support.engine.metal import HEAP, PAGE, Sets, stand_in_metal

GIB = 1 << 30
RENEW = "MLX_METAL_RESIDENCY_REFRESH_INTERVAL_MS"
YES = Wiring(True, "for the test")


def arrays_of(model: Any) -> list[mx.array]:
    """Its weights."""
    found: Any = tree_flatten(model.parameters())
    return [array for _, array in found]


@pytest.fixture
def metal() -> Iterator[Sets]:
    with stand_in_metal(24 * GIB) as sets:
        yield sets
    note_wired(None)


def test_a_generator_wires_nothing_even_for_a_moment(metal: Sets, model: LanguageModel) -> None:
    backend = make_backend(model)
    run_batch(backend, [make_request([1, 2, 3])])
    backend.rebuild()
    run_batch(backend, [make_request([1, 2, 3])])
    assert metal.limits == []


def test_the_weights_are_wired_until_the_model_goes(
    metal: Sets, model: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend = MlxBackend(model)
    backend.wire(YES)
    active = mx.get_active_memory()
    (limit,) = metal.limits
    assert active <= limit <= active + HEAP + PAGE * len(arrays_of(model))
    told = read_mlx_memory()
    assert (told["wired_bytes"], told["limit_bytes"]) == (active, 24 * GIB)
    assert "of weights are wired: for the test" in caplog.text
    run_batch(backend, [make_request([1, 2, 3])])
    backend.rebuild()
    assert metal.limits == [limit]
    backend.close()
    assert metal.limits == [limit, 0]
    assert wired_bytes() is None


def test_all_weights_are_taken_in_and_what_comes_later_is_not(
    metal: Sets, checkpoint_model: LanguageModel
) -> None:
    weights = arrays_of(checkpoint_model)
    # MLX counts all that this process holds, other tests' models too: whole pages of them.
    backend = MlxBackend(checkpoint_model)
    gc.collect()
    others = mx.get_active_memory() - sum(array.nbytes for array in weights)
    metal.buffers = [others // PAGE * PAGE, *(array.nbytes for array in weights)]
    backend.wire(YES)
    assert sorted(metal.wired) == sorted(metal.buffers)
    before = metal.changes
    for _ in range(100):
        metal.allocate(max(mx.get_active_memory() // 4, 2 * HEAP + 2 * PAGE * len(weights)))
    assert metal.changes == before
    backend.close()


@pytest.fixture
def checkpoint_model(checkpoint: Path) -> LanguageModel:
    mx.clear_cache()
    return load_folder(checkpoint)


def test_never_more_than_the_device_recommends(model: LanguageModel) -> None:
    with stand_in_metal(1000) as sets:
        backend = MlxBackend(model)
        backend.wire(YES)
        assert (sets.limits, wired_bytes()) == ([1000], 1000)
        backend.close()


def test_what_is_not_to_be_wired_is_not(
    metal: Sets, model: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend = MlxBackend(model)
    backend.wire(Wiring(False, "it is a Tuesday"))
    assert metal.limits == []
    assert read_mlx_memory()["wired_bytes"] == 0
    assert "the weights are not wired: it is a Tuesday" in caplog.text
    backend.close()
    assert metal.limits == []


def test_without_metal_nothing_is_wired_and_the_log_says_so(
    model: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend = MlxBackend(model)
    backend.wire(YES)
    assert "the weights are not wired: only Metal wires memory" in caplog.text
    assert read_mlx_memory().keys() == {"active_bytes", "peak_bytes", "cache_bytes"}
    backend.close()


@pytest.mark.parametrize(
    ("setting", "memory", "macos", "wired", "why"),
    [
        ("auto", 32 * GIB, "15.3", True, "32 GiB"),
        ("auto", 24 * GIB, "26.1", True, "24 GiB"),
        ("auto", 32 * GIB, "16.0", True, "32 GiB"),  # what some Pythons call 26
        ("auto", 16 * GIB, "15.3", False, "16 GiB"),
        ("auto", 8 * GIB, "26.1", False, "8 GiB"),
        ("weights", 16 * GIB, "15.3", True, "set to weights"),
        ("off", 128 * GIB, "15.3", False, "set to off"),
        ("auto", 64 * GIB, "14.7", False, "macOS 15 or newer"),
        ("weights", 64 * GIB, "14.7", False, "macOS 15 or newer"),
        ("weights", 64 * GIB, "", False, "only Metal"),
    ],
)
def test_what_is_chosen_and_why(
    setting: str, memory: int, macos: str, wired: bool, why: str
) -> None:
    found = choose_wiring(setting, memory, macos)
    assert found.wired is wired
    assert why in found.why


@pytest.mark.parametrize(
    ("wiring", "before", "after"),
    [(YES, None, "1000"), (YES, "0", "0"), (Wiring(False, "no"), None, None)],
)
def test_what_is_wired_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, wiring: Wiring, before: str | None, after: str | None
) -> None:
    monkeypatch.setattr(os, "environ", {} if before is None else {RENEW: before})
    renew_wired(wiring)
    assert os.environ.get(RENEW) == after


@pytest.mark.parametrize("setting", ["weights", "off"])
def test_the_daemon_s_setting_decides(
    metal: Sets, tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RENEW, "0")  # what the daemon sets is undone
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.3", ("", "", ""), "arm64"))
    source = resolve_model(str(write_checkpoint(tmp_path, TinyModel(hidden=16))))
    backend = load_backend(source, ModelFiles(source.folder), Config(wired=setting), None)
    assert len(metal.limits) == (setting == "weights")
    backend.close()
