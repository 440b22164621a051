"""The forward pass of our own computes what mlx-lm's modules do, to the bit."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx import forward
from mlxoss.engine.mlx.forward import Forward
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.lm import BatchKVCache, BatchRotatingKVCache, KVCache
from mlxoss.engine.mlx.memory import give_back
from tests.support.checkpoints import TinyModel, write_checkpoint, write_quantised
from tests.support.engine.graphs import count_operations
from tests.support.engine.harness import SMALL_VOCAB
from tests.support.formats import LAYOUTS, write

SIZE = TinyModel(vocab_size=SMALL_VOCAB)
DEEP = TinyModel(vocab_size=SMALL_VOCAB, layers=6)
SMALL = TinyModel(vocab_size=SMALL_VOCAB, hidden=64)
FORMATS = {
    "float32": None,
    "mxfp4 and 8 bits": (8, "mixed", "bfloat16"),
    "mxfp4": (4, "mxfp4", "bfloat16"),
    "4 bits": (4, "affine", "bfloat16"),
}
LENGTHS = (40, 1, 3, 1, 100, 1, 5, 1)
"""Of inputs one after the other: prefill, steps, forced runs, and through the sliding window."""

Pass = Callable[[mx.array, list[Any]], mx.array]


@pytest.fixture(scope="module", params=list(FORMATS.values()), ids=list(FORMATS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = write_checkpoint(tmp_path_factory.mktemp("base"), SIZE)
    if request.param is None:
        return base
    bits, mode, dtype = request.param
    where = tmp_path_factory.mktemp("quantised")
    return write_quantised(where, base, bits=bits, mode=mode, dtype=dtype)


def run(
    forward: Pass, cache: list[Any], rows: int, lengths: Sequence[int] = LENGTHS
) -> Iterator[mx.array]:
    rng = random.Random(rows)
    for length in lengths:
        ids = [[rng.randrange(SMALL_VOCAB) for _ in range(length)] for _ in range(rows)]
        hidden = forward(mx.array(ids), cache)
        mx.eval(hidden)
        yield hidden


def batch_cache(model: Any, rows: int) -> list[Any]:
    """The caches of a batch, which have masks for rows of any length."""
    padding = [0] * rows
    return [
        BatchKVCache(padding) if isinstance(own, KVCache) else BatchRotatingKVCache(128, padding)
        for own in model.make_cache()
    ]


@pytest.mark.parametrize("rows", [1, 3])
def test_every_bit_is_mlx_lms(folder: Path, rows: int) -> None:
    stock: Any = load_folder(folder, fused=False)
    wanted = list(run(stock.model, stock.make_cache(), rows))
    for fused, compiled in itertools.product((False, True), repeat=2):
        model: Any = load_folder(folder, fused=fused)
        forward = Forward(model, compiled=compiled)
        found = run(normed(model, forward), make(model), rows)
        for step, (own, other) in enumerate(zip(found, wanted, strict=True)):
            assert mx.array_equal(own, other), f"step {step}, {fused=}, {compiled=}"


OPENAI_S = sorted(set(LAYOUTS) - {"mlx"})
"""Layouts that have an expert's gate and up projections row by row in turn."""


@pytest.mark.parametrize("layout", OPENAI_S)
@pytest.mark.parametrize("rows", [1, 3])
def test_what_is_interleaved_stays_so_and_computes_the_same(
    tmp_path: Path, layout: str, rows: int
) -> None:
    """Halves too, as OpenAI has them: rounding shows where an order differs."""
    arrays, config = LAYOUTS[layout](SMALL)
    write(tmp_path, arrays, config)
    halves: Any = {
        name: mx.array(value).astype(mx.bfloat16) if value.dtype.kind == "f" else mx.array(value)
        for name, value in arrays.items()
    }
    mx.save_safetensors(str(tmp_path / "model.safetensors"), halves)
    stock: Any = load_folder(tmp_path, fused=False)
    model: Any = load_folder(tmp_path)
    assert all(layer.mlp.experts.interleaved for layer in model.layers)
    assert count_bytes(model) == count_bytes(stock)
    wanted = list(run(stock.model, make(stock), rows))
    for name, own in (
        ("modules", model.model),
        ("plain", normed(model, Forward(model, compiled=False))),
        ("compiled", normed(model, Forward(model))),
    ):
        found = run(own, make(model), rows)
        for step, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert mx.array_equal(one, other), f"step {step}, {name}"


@pytest.mark.parametrize("layout", OPENAI_S)
def test_float16_of_what_is_interleaved(tmp_path: Path, layout: str) -> None:
    folder = write(tmp_path, *LAYOUTS[layout](SMALL))
    stock: Any = load_folder(folder, fp16=True, fused=False)
    model: Any = load_folder(folder, fp16=True)
    found = run(normed(model, Forward(model)), make(model), 1)
    wanted = run(stock.model, make(stock), 1)
    assert all(mx.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def normed(model: Any, forward: Forward) -> Pass:
    return lambda ids, cache: model.model.norm(forward(ids, cache))


def count_bytes(module: Any) -> int:
    arrays: Any = tree_flatten(module.parameters())
    return sum(array.nbytes for _, array in arrays)


def make(model: Any) -> list[Any]:
    caches: list[Any] = model.make_cache()
    return caches


def test_a_model_as_mlx_lm_loads_it(tmp_path: Path) -> None:
    """Its rotary positions multiply by YaRN's factor, which the loader puts elsewhere."""
    stock: Any = load_model(write_checkpoint(tmp_path, SIZE))[0]
    assert stock.layers[0].self_attn.rope.mscale != 1.0
    for compiled in (False, True):
        wanted = run(stock.model, make(stock), 1)
        found = run(normed(stock, Forward(stock, compiled=compiled)), make(stock), 1)
        assert all(mx.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.skipif(sys.platform == "darwin", reason="other operations, or none compiled")
@pytest.mark.parametrize("rows", [1, 3])
def test_a_steps_graph_has_few_operations(tmp_path: Path, rows: int) -> None:
    """They are what it costs the host. That of mlx-lm's modules has some 170 a layer."""
    write_checkpoint(tmp_path, DEEP)
    stock: Any = load_model(tmp_path)[0]
    model: Any = load_folder(tmp_path)

    def count(forward: Any, caches: list[Any]) -> int:
        for length in (200, 1, 1):  # the window is cut, and functions are compiled
            mx.eval(forward(mx.full((rows, length), 5), caches))
        return count_operations(forward(mx.full((rows, 1), 5), caches))

    assert count(Forward(model), make(model)) < 0.6 * count(stock.model, make(stock))


def test_long_inputs_through_many_layers(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, DEEP)
    stock: Any = load_folder(folder, fused=False)
    model: Any = load_folder(folder)
    forward, lengths = Forward(model), (300, 1, 700, 2)
    wanted = run(stock.model, make(stock), 1, lengths)
    found = run(normed(model, forward), make(model), 1, lengths)
    assert all(mx.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_batches_of_several_rows_too(folder: Path) -> None:
    model: Any = load_folder(folder)
    stock: Any = load_folder(folder, fused=False)
    forward = Forward(model)
    wanted = run(stock.model, batch_cache(stock, 3), 3)
    found = run(normed(model, forward), batch_cache(model, 3), 3)
    assert all(mx.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("length", [1, 3, 8, 9])
def test_masks_that_metal_takes_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """A place for each head, where its attention would make a copy like that in each layer."""
    model: Any = load_folder(folder)
    lengths = (150, 1, length, length)
    shared = list(run(Forward(model), batch_cache(model, 3), 3, lengths))
    masks: list[mx.array] = []
    attend = mx.fast.scaled_dot_product_attention

    def watch(*values: mx.array, mask: mx.array, **options: Any) -> mx.array:
        masks.append(mask)
        return attend(*values, mask=mask, **options)

    monkeypatch.setattr(forward, "computes_on_metal", lambda: True)
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", watch)
    found = list(run(Forward(model), batch_cache(model, 3), 3, lengths))
    assert all(mx.array_equal(own, other) for own, other in zip(found, shared, strict=True))
    heads = model.args.num_attention_heads
    assert {mask.shape[:-2] == (3, heads) for mask in masks[-2:]} == {length <= 8}


def test_a_first_use_leaves_nothing_behind(tmp_path: Path) -> None:
    model: Any = load_folder(write_checkpoint(tmp_path, SIZE))
    logits = LastLogits(model)
    before = mx.get_active_memory()
    first = logits(mx.array([[7, 8, 9]]))
    mx.eval(first)
    logits.use_once(8)
    again = logits(mx.array([[7, 8, 9]]))
    assert mx.array_equal(first, again)
    del first, again
    assert mx.get_active_memory() - before < 1 << 20


def test_fused_experts_take_the_place_of_the_others(folder: Path) -> None:
    fused: Any = load_folder(folder)
    apart: Any = load_folder(folder, fused=False)
    assert count_bytes(fused) == count_bytes(apart)
    arrays: Any = tree_flatten(fused.parameters())
    names = [name for name, _ in arrays]
    assert any("gate_up_proj" in name for name in names)
    assert not any(".gate_proj" in name or ".up_proj" in name for name in names)


@pytest.mark.parametrize(
    "up",
    [
        {"group_size": 64, "bits": 8, "mode": "affine"},
        {"group_size": 32, "bits": 4, "mode": "affine"},
        {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    ],
    ids=["bits", "groups", "mode"],
)
def test_experts_packed_in_two_ways_stay_apart(tmp_path: Path, up: Any) -> None:
    """Converters that weigh each matrix by itself leave such."""
    base = write_checkpoint(tmp_path / "base", SIZE)
    path = "model.layers.0.mlp.experts.up_proj"
    folder = write_quantised(
        tmp_path / "mixed", base, bits=4, mode="affine", dtype="bfloat16", others={path: up}
    )
    stock: Any = load_folder(folder, fused=False)
    model: Any = load_folder(folder)
    apart, fused = (layer.mlp.experts for layer in model.layers)
    assert "gate_up_proj" not in apart
    assert "gate_up_proj" in fused
    wanted = run(stock.model, make(stock), 1)
    found = run(normed(model, Forward(model)), make(model), 1)
    assert all(mx.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_what_was_compiled_goes_with_its_model(tmp_path: Path) -> None:
    """MLX keeps compiled functions, with the weights in them, by where they lie in memory: a model
    that comes after another must neither find that one's nor leave its own."""
    folders = [
        write_checkpoint(tmp_path / str(seed), TinyModel(vocab_size=SMALL_VOCAB, seed=seed))
        for seed in (1, 2)
    ]
    lengths = (1, 2, 3, 4, 5, 1)
    wanted = []
    for folder in folders:
        stock: Any = load_folder(folder, fused=False)
        wanted.append([list(run(stock.model, make(stock), rows, lengths)) for rows in (1, 2, 3)])
    del stock
    give_back()
    before = mx.get_active_memory()
    for _ in range(3):
        for folder, each in zip(folders, wanted, strict=True):
            model: Any = load_folder(folder)
            forward = LastLogits(model)
            for rows, hidden in zip((1, 2, 3), each, strict=True):
                last = [states[:, -1:] for states in hidden]
                found = run(forward.last_hidden, make(model), rows, lengths)
                assert all(mx.array_equal(a, b) for a, b in zip(found, last, strict=True))
            assert mx.get_active_memory() > before + count_bytes(model) // 2
            del model, forward, found
            give_back()
            assert mx.get_active_memory() <= before + 1000  # MLX's own scalars


def test_loading_takes_one_layers_experts_more_at_most(tmp_path: Path) -> None:
    size = TinyModel(vocab_size=SMALL_VOCAB, layers=8, hidden=256)
    folder = write_checkpoint(tmp_path, size)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    model: Any = load_folder(folder)
    loaded = mx.get_active_memory() - before
    own = count_bytes(model.layers[0].mlp.experts.gate_up_proj)
    assert mx.get_peak_memory() - before <= loaded + 2 * own
