"""The demo's checkpoint folder: made once, repaired when damaged, safe to make at once."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlxoss import demo
from mlxoss.demo import expand_demo
from mlxoss.demo.expand import expand
from mlxoss.errors import ModelError
from mlxoss.harmony.encoding import VOCAB_SIZE

Damage = Callable[[Path], object]


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def names(cache: Path) -> list[str]:
    """What is in the cache folder beside the lock."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the shipped data to damage."""
    target = tmp_path / "data"
    with resources.as_file(resources.files("mlxoss.demo") / "data") as source:
        shutil.copytree(source, target)
    return target


def test_the_shipped_weights_are_small() -> None:
    weights = resources.files("mlxoss.demo") / "data" / "weights.npz"
    assert len(weights.read_bytes()) < 4_000_000


def test_the_folder_is_a_checkpoint(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "gpt_oss"
    assert config["vocab_size"] == VOCAB_SIZE
    assert config["max_position_embeddings"] == demo.DEMO_CONTEXT_TOKENS
    assert set(config["layer_types"]) == {"sliding_attention", "full_attention"}
    stops = json.loads((folder / "generation_config.json").read_text())
    assert stops["eos_token_id"] == [200002, 200012]


def test_mlx_lm_loads_it_by_its_normal_path(model: Any) -> None:
    logits = model(mx.array([[200006, 173781, 200005]]))
    assert logits.shape == (1, 3, VOCAB_SIZE)
    assert bool(mx.all(mx.isfinite(logits)).item())
    kinds = [type(cache).__name__ for cache in model.make_cache()]
    assert kinds == ["RotatingKVCache", "KVCache"] * 2


def test_rows_are_those_of_the_shipped_weights(model: Any) -> None:
    """Used ids have their rows to 8 bits' precision; the others share one, with no logit."""
    with np.load(str(resources.files("mlxoss.demo") / "data" / "weights.npz")) as weights:
        rows, embed, head = (
            weights[name] for name in ("rows", "model.embed_tokens.weight", "lm_head.weight")
        )
    other = next(token for token in range(1000, VOCAB_SIZE) if token not in set(rows.tolist()))
    got = np.array(model.model.embed_tokens(mx.array([*rows[:50].tolist(), other])))
    wanted = np.concatenate([embed[1:51], embed[:1]]).astype(np.float32)
    assert np.abs(got - wanted).max() < np.ptp(wanted) / 255
    places = [0, 63, 64, 127]
    columns = np.array(model.lm_head(mx.eye(head.shape[1])[mx.array(places)])).T
    shown = head[:, places].astype(np.float32)
    assert np.abs(columns[rows] - shown[1:]).max() < np.ptp(shown) / 255
    assert np.abs(columns[other]).max() == 0


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    first = expand_demo(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in first.iterdir()}
    assert expand_demo(tmp_path) == first
    assert {p: p.stat().st_mtime_ns for p in first.iterdir()} == before
    assert names(tmp_path) == [first.name]


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _flip,
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{}"),
        lambda folder: (folder / "expanded.json").unlink(),
        lambda folder: (folder / "expanded.json").write_text("[]"),
        lambda folder: (folder / "expanded.json").write_text("{}"),
        lambda folder: (folder / "expanded.json").write_text('{"config.json": nul'),
        lambda folder: [p.unlink() for p in folder.iterdir()],
    ],
    ids=[
        "truncated", "bit flipped", "file gone", "file changed", "record gone",
        "record a list", "record empty", "record cut", "empty folder",
    ],
)  # fmt: skip
def test_a_damaged_folder_is_made_again(folder: Path, tmp_path: Path, damage: Damage) -> None:
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    damage(copy)
    assert expand_demo(tmp_path) == copy
    assert hashes(copy) == hashes(folder)
    assert names(tmp_path) == [copy.name]


def test_an_interrupted_process_leaves_nothing_that_counts(tmp_path: Path, folder: Path) -> None:
    half = tmp_path / f".{folder.name}.new"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert hashes(expand_demo(tmp_path)) == hashes(folder)
    assert names(tmp_path) == [folder.name]


def test_processes_at_once_make_one_folder(tmp_path: Path, folder: Path) -> None:
    """Four processes start together, on a damaged folder; each gets the same good one."""
    damaged = tmp_path / folder.name
    damaged.mkdir()
    (damaged / "config.json").write_text("{}")
    code = (
        "import sys, pathlib; from mlxoss.demo import expand_demo; sys.stdin.readline();"
        "print(expand_demo(pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert {out.strip() for out, _ in outputs} == {str(damaged)}
    assert hashes(damaged) == hashes(folder)
    assert names(tmp_path) == [damaged.name]


def test_damaged_weights_are_an_error(tmp_path: Path, shipped: Path) -> None:
    weights = shipped / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="weights are damaged"):
        expand(tmp_path / "cache", shipped)
    assert not names(tmp_path / "cache")


@pytest.mark.parametrize("name", ["weights.npz", "manifest.json"])
def test_missing_data_are_an_error(tmp_path: Path, shipped: Path, name: str) -> None:
    (shipped / name).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        expand(tmp_path / "cache", shipped)


def test_a_cut_manifest_is_an_error(tmp_path: Path, shipped: Path) -> None:
    manifest = shipped / "manifest.json"
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(ModelError, match="manifest cannot be read"):
        expand(tmp_path / "cache", shipped)


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ModelError, match="cannot be written"):
        expand_demo(tmp_path / "cache")


def test_naming_the_demo_needs_no_numpy() -> None:
    code = "import sys, mlxoss.demo; sys.exit(bool({'numpy', 'mlx'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
