"""Where there is nothing to compute on: a Mac without a GPU, for which MLX has a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest

from mlxoss.config import Config
from mlxoss.daemon.assemble import load_backend
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.checkpoint.watch import ModelFiles
from mlxoss.engine.mlx import device
from mlxoss.errors import ModelError
from tests.support.checkpoints import TinyModel, write_checkpoint


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX for macOS in a virtual machine: the default is the GPU, and opening it fails."""

    def fail(*_: object) -> dict[str, int]:
        raise RuntimeError("[metal::load_device] No Metal device available.")

    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "device_count", lambda _: 0)
    monkeypatch.setattr(mx, "device_info", fail)


@pytest.mark.usefixtures("no_gpu")
def test_a_model_is_not_loaded_without_a_gpu(tmp_path: Path) -> None:
    source = resolve_model(str(write_checkpoint(tmp_path, TinyModel(hidden=16))))
    with pytest.raises(ModelError, match="There is no Metal device"):
        load_backend(source, ModelFiles(source.folder), Config(), None)


@pytest.mark.usefixtures("no_gpu")
def test_commands_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    device.main()
    assert json.loads(capsys.readouterr().out) == {"has_device": False, "limit_bytes": None}


def test_without_a_gpu_build_the_cpu_is_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    if mx.metal.is_available():
        pytest.skip("of MLX's CPU build")
    device.check_device()
    device.main()
    assert json.loads(capsys.readouterr().out) == {"has_device": True, "limit_bytes": None}
