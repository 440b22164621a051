"""bfloat16 recast to float16, and left where that would spoil the model."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.mlx.fp16 import HARMONY_IDS, compare
from mlxoss.harmony.conversation import Conversation, UserText
from mlxoss.harmony.encoding import load_encoding
from mlxoss.harmony.prompt import render_prompt
from tests.support.checkpoints import TinyModel, write_checkpoint, write_quantised
from tests.support.engine.harness import (
    SMALL_VOCAB,
    greedy_reference,
    make_request,
    random_prompt,
    run_batch,
)

pytestmark = pytest.mark.slow

Weights = dict[str, mx.array]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = TinyModel(vocab_size=SMALL_VOCAB)
    return write_checkpoint(tmp_path_factory.mktemp("source"), size)


@pytest.fixture(scope="module", params=["affine", "mixed"])
def bf16(request: pytest.FixtureRequest, source: Path, tmp_path_factory: Any) -> Path:
    """Quantised, because the CPU has no experts in bfloat16."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    return write_quantised(folder, source, bits=8, mode=request.param, dtype="bfloat16")


def dtypes(model: Any) -> dict[str, mx.Dtype]:
    parameters: Any = tree_flatten(model.parameters())
    return {name: value.dtype for name, value in parameters}


def spoil(folder: Path, into: Path, change: Callable[[Weights], None]) -> Path:
    weights: Any = mx.load(str(folder / "model.safetensors"))
    change(weights)
    mx.save_safetensors(str(into / "model.safetensors"), weights)
    (into / "config.json").write_text((folder / "config.json").read_text())
    return into


def test_what_is_bfloat16_becomes_float16(bf16: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    as_it_was, recast = load_folder(bf16), load_folder(bf16, fp16=True)
    became = {mx.bfloat16: mx.float16, mx.uint32: mx.uint32, mx.uint8: mx.uint8}
    assert mx.bfloat16 in dtypes(as_it_was).values()
    assert dtypes(recast) == {name: became[kind] for name, kind in dtypes(as_it_was).items()}
    request = make_request(random_prompt(140), 5)
    assert recast(mx.array([request.prompt_ids])).dtype == mx.float16
    [outcome] = run_batch(MlxBackend(recast), [request])
    assert outcome.ids == greedy_reference(recast, request)
    assert "fp16: the model was recast" in caplog.text


def beyond(weights: Weights) -> None:
    name = "model.layers.1.self_attn.o_proj.bias"
    weights[name] = mx.full(weights[name].shape, 1e5, mx.bfloat16)


def adding_up_beyond(weights: Weights) -> None:
    """Every weight fits; their sum in the residual stream does not."""
    for layer in (0, 1):
        name = f"model.layers.{layer}.self_attn.o_proj.bias"
        weights[name] = mx.full(weights[name].shape, 6e4, mx.bfloat16)


def vanishing(weights: Weights) -> None:
    """Nothing overflows, but weights that are too small for float16 become 0."""
    weights["model.norm.weight"] *= mx.array(1e-9, mx.bfloat16)


@pytest.mark.parametrize("change", [beyond, adding_up_beyond, vanishing])
def test_a_model_that_float16_would_spoil_stays(
    bf16: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Weights], None]
) -> None:
    folder = spoil(bf16, tmp_path, change)
    as_it_was, tried = load_folder(folder), load_folder(folder, fp16=True)
    assert dtypes(tried) == dtypes(as_it_was)
    ids = mx.array([random_prompt(50)])
    assert mx.array_equal(tried(ids), as_it_was(ids))
    assert mx.all(mx.isfinite(tried(ids))).item()
    assert "fp16: the model stays in bfloat16: in float16" in caplog.text


def test_an_embedding_that_would_not_follow(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_quantised(tmp_path / "m", source, bits=4, mode="mxfp4", dtype="bfloat16")
    assert mx.bfloat16 in dtypes(load_folder(folder, fp16=True)).values()
    assert "some of it would be computed in float32" in caplog.text


def test_without_bfloat16_there_is_nothing_to_do(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert set(dtypes(load_folder(source, fp16=True)).values()) == {mx.float32}
    assert "fp16: the model has no bfloat16" in caplog.text


def test_rounding_is_no_deviation_and_other_logits_are() -> None:
    before = mx.random.normal((20, 1000), key=mx.random.key(1)) * 5
    assert compare(before, before.astype(mx.bfloat16).astype(mx.float32)) is None
    other = mx.random.normal((20, 1000), key=mx.random.key(2)) * 5
    for after, why in (
        (other, "the logits deviate by"),
        (before * 0, "the logits deviate by 100%"),
        (mx.where(before > 20, mx.inf, before), "values beyond"),
        (mx.where(before > 20, mx.nan, before), "values beyond"),
    ):
        problem = compare(before, after)
        assert problem is not None
        assert problem.startswith(why)


def test_it_is_tried_on_a_prompt_as_they_come() -> None:
    question = "How many prime numbers are there below 30? Explain in two sentences."
    conversation = Conversation((UserText(question),), datetime.date(2025, 1, 1))
    assert tuple(render_prompt(load_encoding(), conversation)) == HARMONY_IDS
