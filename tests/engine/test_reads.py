"""What a decode step reads and a prompt computes, by a checkpoint's headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxoss.engine.checkpoint.config import read_config
from mlxoss.engine.checkpoint.folder import Checkpoint, read_any_checkpoint
from mlxoss.engine.checkpoint.layout import Layout
from mlxoss.engine.checkpoint.reads import StepReads, prefill_operations, read_step_reads
from mlxoss.engine.checkpoint.tensors import Tensor, Tensors
from tests.support.checkpoints import GPT_OSS, TinyModel, write_checkpoint

VOCAB, HIDDEN = 201_088, 2880
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": HIDDEN,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_experts_per_tok": 4,
}


def eight_bits(rows: int, columns: int) -> int:
    """Bytes of a matrix in groups of 64, each with a scale and a bias."""
    return rows * columns + 2 * 2 * rows * columns // 64


def tensors_of(layers: int, experts: int) -> Iterator[tuple[str, int]]:
    """Those of mlx-community's MXFP4-Q8 checkpoints: names and bytes."""
    yield "model.embed_tokens.weight", eight_bits(VOCAB, HIDDEN)
    yield "lm_head.weight", eight_bits(VOCAB, HIDDEN)
    yield "model.norm.weight", 2 * HIDDEN
    for layer in range(layers):
        name = f"model.layers.{layer}."
        for part, rows, columns in (
            ("q", 4096, HIDDEN),
            ("k", 512, HIDDEN),
            ("v", 512, HIDDEN),
            ("o", HIDDEN, 4096),
        ):
            yield f"{name}self_attn.{part}_proj.weight", eight_bits(rows, columns)
        yield f"{name}mlp.router.weight", eight_bits(experts, HIDDEN)
        for part in ("gate", "up", "down"):
            yield f"{name}mlp.experts.{part}_proj.weight", experts * HIDDEN * HIDDEN // 2
            yield f"{name}mlp.experts.{part}_proj.scales", experts * HIDDEN * HIDDEN // 32


def reads_of(layers: int, experts: int) -> StepReads:
    sizes = {"num_hidden_layers": layers, "num_local_experts": experts}
    tensors: Tensors = {
        name: Tensor("BF16", (1,), size) for name, size in tensors_of(layers, experts)
    }
    config = read_config({**GPT_OSS, **SIZES, **sizes})
    return read_step_reads(Checkpoint(config, Layout.MLX, tensors, 0), has_metal=True)


@pytest.mark.parametrize(
    ("layers", "experts", "gigabytes", "token"), [(24, 32, 2.57, 24_576), (36, 128, 3.55, 36_864)]
)
def test_the_published_models(layers: int, experts: int, gigabytes: float, token: int) -> None:
    reads = reads_of(layers, experts)
    assert reads.step_bytes(1, 0) / 1e9 == pytest.approx(gigabytes, abs=0.01)
    assert reads.token_cache == token
    longer = reads.step_bytes(1, 9000) - reads.step_bytes(1, 8000)
    assert longer == pytest.approx(1000 * token)
    window = reads.step_bytes(1, 128) - reads.step_bytes(1, 0)
    assert window == pytest.approx(128 * 2 * token)


def test_rows_share_the_dense_part_and_some_experts() -> None:
    reads = reads_of(24, 32)
    one, four, many = (reads.step_bytes(rows, 0) for rows in (1, 4, 1000))
    assert one == reads.dense + reads.experts * 4 / 32
    assert (four - reads.dense) / reads.experts * 32 == pytest.approx(13.24, abs=0.01)
    assert many == pytest.approx(reads.dense + reads.experts)


def test_a_prompt_s_token() -> None:
    config = reads_of(24, 32).config
    assert prefill_operations(config, 1) / 1e9 == pytest.approx(6.06, abs=0.01)
    more = prefill_operations(config, 2048) - prefill_operations(config, 1024)
    assert more == 4 * 4096 * 12 * 512


def test_a_checkpoint_on_the_disk(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, TinyModel(hidden=16))
    checkpoint = read_any_checkpoint(folder, "")
    reads = read_step_reads(checkpoint, has_metal=False)
    assert 0 < reads.experts < reads.dense
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert reads.dense + reads.experts == checkpoint.weights_bytes - 4 * 16 * vocabulary
