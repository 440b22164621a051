"""The shipped weights to a checkpoint folder that mlx-lm loads by its normal path."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mlxoss.core import JsonMapping, JsonObject
from mlxoss.demo.about import DEMO_NAME
from mlxoss.errors import ModelError
from mlxoss.files import locked

_LAYOUT = 2
"""Raise it when the same weights shall expand to other files."""

_GROUP_SIZE = 64
_FILES = ("config.json", "generation_config.json", "model.safetensors")
_RECORD = "expanded.json"

Arrays = dict[str, NDArray[Any]]


def expand(cache_dir: Path, data_dir: Traversable | None = None) -> Path:
    """The demo's checkpoint folder inside ``cache_dir``, made or repaired if need be.

    Safe for several processes at once: one builds, in a folder that a rename then
    publishes, while the others wait. A folder whose files differ from the record
    written beside them is built again. ``data_dir`` holds ``weights.npz`` and ``manifest.json``, by
    default the bundled ones. Takes about a second, a tenth of one when all is there;
    62 MB on disk. Raises ``ModelError`` when the shipped data are damaged or the
    folder cannot be written.
    """
    shipped = _bundled() if data_dir is None else _read_shipped(data_dir)
    manifest = _parse_manifest(shipped)
    folder = cache_dir / f"{DEMO_NAME}-{manifest['weights_sha256'][:16]}-{_LAYOUT}"
    if _is_whole(folder):
        return folder
    try:
        _publish(folder, shipped, manifest)
    except OSError as error:
        raise ModelError(
            f"The demo model cannot be written to {folder}: {error.strerror}."
        ) from error
    return folder


class _Shipped(NamedTuple):
    """The files that are shipped, as bytes."""

    manifest: bytes
    weights: bytes


@cache
def _bundled() -> _Shipped:
    """Read once: an upgrade may remove them under a daemon, which loads its model again."""
    return _read_shipped(resources.files("mlxoss.demo") / "data")


def _read_shipped(folder: Traversable) -> _Shipped:
    try:
        manifest = (folder / "manifest.json").read_bytes()
        return _Shipped(manifest, (folder / "weights.npz").read_bytes())
    except OSError as error:
        raise ModelError(
            f"The demo model's files cannot be read ({error}). Install mlxoss again."
        ) from error


def _parse_manifest(shipped: _Shipped) -> JsonObject:
    try:
        manifest: JsonObject = json.loads(shipped.manifest)
    except ValueError as error:
        raise ModelError(
            f"The demo model's manifest cannot be read ({error}). Install mlxoss again."
        ) from error
    return manifest


def _read_weights(shipped: _Shipped, sha256: str) -> Arrays:
    if hashlib.sha256(shipped.weights).hexdigest() != sha256:
        raise ModelError("The demo model's weights are damaged. Install mlxoss again.")
    with np.load(io.BytesIO(shipped.weights), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _is_whole(folder: Path) -> bool:
    """Whether every file is there with the hash that was recorded for it."""
    try:
        record = json.loads((folder / _RECORD).read_text("utf-8"))
        return bool(record == {name: _sha256(folder / name) for name in _FILES})
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish(folder: Path, shipped: _Shipped, manifest: JsonMapping) -> None:
    """Build ``folder`` under a lock, so that nobody's good folder is ever replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f"{DEMO_NAME}.lock"):
        if _is_whole(folder):
            return
        arrays = _read_weights(shipped, manifest["weights_sha256"])
        building = folder.parent / f".{folder.name}.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        _write(building, arrays, manifest["config"])
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(building, folder)


def _write(folder: Path, arrays: Arrays, config: JsonMapping) -> None:
    save_file(
        _checkpoint(arrays, config["vocab_size"]),
        folder / "model.safetensors",
        metadata={"format": "mlx"},
    )
    _write_json(folder / "config.json", config)
    stops = {"eos_token_id": [200002, 200012], "pad_token_id": 199999, "do_sample": True}
    _write_json(folder / "generation_config.json", stops)
    _write_json(folder / _RECORD, {name: _sha256(folder / name) for name in _FILES})


def _write_json(path: Path, value: JsonMapping) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _checkpoint(arrays: Arrays, vocab_size: int) -> Arrays:
    """Every weight under mlx-lm's name: layers in float32, embedding and head in 8 bits.

    Row 0 of the shipped embedding and head stands for all ids without their own;
    the head's is zero.
    Experts run on MLX's CPU backend in float32 or quantised only.
    """
    out: Arrays = {}
    for name, value in arrays.items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            for part, rows in _quantise(name, value.astype(np.float32)).items():
                whole = np.repeat(rows[:1], vocab_size, axis=0)
                whole[arrays["rows"]] = rows[1:]
                out[part] = whole
        elif name != "rows":
            out[name] = value.astype(np.float32)
    return out


def _quantise(name: str, rows: NDArray[np.float32]) -> Arrays:
    """``rows`` as MLX's affine mode quantises them.

    A weight is ``scale * q + bias`` with ``q`` in one byte, four to a uint32, and
    one scale and bias for `_GROUP_SIZE` neighbours.
    """
    groups = rows.reshape(len(rows), -1, _GROUP_SIZE)
    low = groups.min(axis=-1)
    scale = (groups.max(axis=-1) - low) / 255
    steps = np.where(scale > 0, scale, 1)[..., None]
    quantised = np.rint((groups - low[..., None]) / steps).astype(np.uint8)
    stem = name.removesuffix(".weight")
    return {
        name: quantised.reshape(len(rows), -1).view("<u4"),
        f"{stem}.scales": scale,
        f"{stem}.biases": low,
    }
