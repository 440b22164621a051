"""What a checkpoint's headers tell of the memory it takes is never less than it really is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlxoss.config import Config
from mlxoss.daemon.assemble import expect_tokens
from mlxoss.engine.checkpoint.folder import read_any_checkpoint
from mlxoss.engine.checkpoint.loader import load_folder, resolve_model
from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.engine.mlx.memory import Budget, make_room
from mlxoss.errors import ModelError
from tests.support.formats import LAYOUTS, write

LAST = ("lm_head.", "model.norm.", "norm.", "unembedding.")


def cast(folder: Path, layout: str, choose: Callable[[str], mx.Dtype | None]) -> Path:
    """A checkpoint whose parameters have the types that ``choose`` gives for their names, or
    bfloat16."""
    arrays, config = LAYOUTS[layout]()
    write(folder, arrays, config)
    typed: Any = {
        name: mx.array(value).astype(choose(name) or mx.bfloat16)
        if value.dtype == np.float32
        else mx.array(value)
        for name, value in arrays.items()
    }
    mx.save_safetensors(str(folder / "model.safetensors"), typed)
    return folder


def check_value_bytes(folder: Path) -> int:
    """No key or value takes more than expected; what was expected of each."""
    expected = read_any_checkpoint(folder, "x").footprint(has_metal=False).value_bytes
    model = load_folder(folder)
    caches = model.make_cache()
    mx.eval(model(mx.array([[0]]), cache=caches))
    for cache in caches:
        assert max(cache.keys.dtype.size, cache.values.dtype.size) <= expected
    return expected


@pytest.mark.parametrize("layout", ["mxfp4", "original"])
def test_one_parameter_in_float32(tmp_path: Path, layout: str) -> None:
    """From it on all is computed in float32, keys and values too."""
    names = [name for name in LAYOUTS[layout]()[0] if "1." in name or name.startswith(LAST)]
    for wide in names:
        # MLX does not attend with sinks in float32 to values in bfloat16.
        if not wide.endswith(("sinks", "blocks", "scales")):
            folder = cast(tmp_path / wide, layout, {wide: mx.float32}.get)
            assert check_value_bytes(folder) == (2 if wide.startswith(LAST) else 4)


@pytest.mark.parametrize("layout", ["mxfp4", "original"])
def test_halves_of_two_kinds_make_float32(tmp_path: Path, layout: str) -> None:
    folder = cast(tmp_path, layout, lambda name: mx.float16 if "embed" in name else mx.bfloat16)
    assert check_value_bytes(folder) == 4


@pytest.mark.parametrize("half", [mx.float16, mx.bfloat16])
def test_halves_of_one_kind_stay_halves(tmp_path: Path, half: mx.Dtype) -> None:
    assert check_value_bytes(cast(tmp_path, "mxfp4", lambda name: half)) == 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_barely_fits_is_not_refused_before_it_is_loaded(tmp_path: Path, layout: str) -> None:
    footprint = read_any_checkpoint(write(tmp_path, *LAYOUTS[layout]()), "x").footprint(
        has_metal=computes_on_metal()
    )
    others = mx.get_active_memory()
    model = load_folder(tmp_path)
    room = make_room(model, 1 << 40, 8)
    sizes = room.sizes
    least = (1 << 40) - room.free_bytes - others + room.step_bytes + sizes.window
    least += 3 * 256 * (sizes.token + sizes.grow)
    assert make_room(model, others + least + (1 << 16), 8).most_tokens > 0
    Budget(least, prefix_bytes=0).check_footprint(footprint, 8)
    with pytest.raises(ModelError, match="are the least"):
        Budget(least - (1 << 23), prefix_bytes=0).check_footprint(footprint, 8)


def test_what_is_expected_before_mlx_is_there_goes_by_the_system() -> None:
    """Metal's attention writes no scores."""
    source, config = resolve_model(None), Config(memory_limit=600_000_000)
    on_linux, on_a_mac = (expect_tokens(source, config, name) for name in ("linux", "darwin"))
    assert 255 < on_linux < on_a_mac < 131_072
