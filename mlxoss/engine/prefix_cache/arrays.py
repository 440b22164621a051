"""Snapshots as numpy arrays in host memory, which any thread may hold, and back.

numpy has no bfloat16: its bits travel as uint16.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import mlx.core as mx
import numpy as np

from mlxoss.core import JsonObject
from mlxoss.engine.mlx.model import Model
from mlxoss.engine.prefix_cache.disk_files import Arrays, Expected
from mlxoss.engine.prefix_cache.snapshot import (
    Pairs,
    can_be_kept,
    read_snapshot,
    read_window_tokens,
)

LAYOUT = 2
"""Raise it when the same tokens shall become other arrays: by 2, positions are gpt-oss's own."""

_TYPES = {
    mx.float32: np.dtype(np.float32),
    mx.float16: np.dtype(np.float16),
    mx.bfloat16: np.dtype(np.uint16),
}

_Part = tuple[int, int, mx.Dtype]
"""Heads, width and type of one layer's keys or values."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a model's snapshots look like: each layer's keys, then its values, in their order."""

    run: tuple[_Part, ...]
    windows: tuple[_Part, ...]
    window_tokens: int

    def expected(self, length: int, new: int) -> Expected:
        """The arrays of a snapshot of ``length`` tokens with the runs of its last ``new``."""
        in_window = min(length, self.window_tokens)
        return {
            "tokens": ((new,), np.dtype(np.int32)),
            **_expected("run", self.run, new),
            **_expected("window", self.windows, in_window),
        }

    def nbytes(self, length: int, new: int) -> int:
        """The size of ``expected`` arrays."""
        parts = self.expected(length, new).values()
        return sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in parts)


def read_form(model: Model) -> Form | None:
    """The form of a model's snapshots, by running it on one token; ``None`` if it has others."""
    caches = model.make_cache()
    if not can_be_kept(caches):
        return None
    model(mx.array([[0]]), cache=caches)
    run, windows = map(_parts, read_snapshot(caches, 0))
    if not {dtype for _, _, dtype in (*run, *windows)} <= set(_TYPES):
        return None
    return Form(run, windows, read_window_tokens(caches))


def make_revision(checkpoint: str, form: Form) -> str:
    """One text for all that a snapshot's numbers depend on: the checkpoint's own revision, the
    types that it computes with, and the software that does."""
    parts = (LAYOUT, checkpoint, form, *_versions())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def _versions() -> tuple[str, ...]:
    """Of what runs: an upgrade may put others in its place while it does."""
    return version("mlx"), version("mlx-lm")


def to_arrays(ids: Sequence[int], run: Pairs, windows: Pairs) -> Arrays:
    """Copy a snapshot's last tokens ``ids``, their runs, and its window state out of MLX."""
    return {
        "tokens": np.array(ids, dtype=np.int32),
        **_to_arrays("run", run),
        **_to_arrays("window", windows),
    }


def to_run(arrays: Arrays, form: Form) -> Pairs:
    """The run of ``to_arrays``."""
    return _to_pairs("run", arrays, form.run)


def to_windows(arrays: Arrays, form: Form) -> Pairs:
    """The window state of ``to_arrays``."""
    return _to_pairs("window", arrays, form.windows)


def _expected(kind: str, parts: Sequence[_Part], tokens: int) -> JsonObject:
    return {
        f"{kind}.{index}": ((1, heads, tokens, width), _TYPES[dtype])
        for index, (heads, width, dtype) in enumerate(parts)
    }


def _flat(pairs: Pairs) -> Iterable[mx.array]:
    return (array for pair in pairs.layers for array in pair)


def _parts(pairs: Pairs) -> tuple[_Part, ...]:
    return tuple((array.shape[1], array.shape[3], array.dtype) for array in _flat(pairs))


def _to_arrays(kind: str, pairs: Pairs) -> Arrays:
    return {f"{kind}.{index}": _to_host(array) for index, array in enumerate(_flat(pairs))}


def _to_host(array: mx.array) -> Any:
    bits = array.view(mx.uint16) if array.dtype == mx.bfloat16 else array
    return np.array(bits)


def _to_pairs(kind: str, arrays: Arrays, parts: Sequence[_Part]) -> Pairs:
    flat = [
        mx.array(arrays[f"{kind}.{index}"]).view(dtype) for index, (_, _, dtype) in enumerate(parts)
    ]
    mx.eval(flat)
    return Pairs(tuple(zip(flat[::2], flat[1::2], strict=True)))
