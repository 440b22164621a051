"""The numpy model as a second opinion on any gpt-oss that a test has loaded.

It takes the weights that were loaded, dequantised where they were quantised, so that one more
difference than rounding shows. In bfloat16 and float16 rounding is as large as what is looked for,
and decides between ids that are near each other: such models are not judged.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import gpt_oss
from numpy.typing import NDArray

from tests.support.reference.checkpoint import make_config
from tests.support.reference.golden import TOLERANCE
from tests.support.reference.numpy_model import NumpyModel

_SIZES = (
    "layer_types",
    "num_key_value_heads",
    "num_experts_per_tok",
    "head_dim",
    "sliding_window",
    "rms_norm_eps",
)
_judges: dict[int, NumpyModel | None] = {}


def check_likeliest(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> None:
    """Each of ``answer`` is the likeliest after what comes before it, up to a tie."""
    judge = find_judge(model)
    if judge is None or not answer:
        return
    ids = [*prompt, *answer]
    logits = judge.logits(ids[:-1], range(len(prompt) - 1, len(ids) - 1))
    behind = logits.max(axis=1) - logits[np.arange(len(answer)), list(answer)]
    assert behind.max() < TOLERANCE, f"{behind.max():.1e} less likely than another"


def check_logits(model: Any, ids: Sequence[int], logits: NDArray[Any]) -> None:
    """``logits`` (vocabulary,) are those after ``ids``."""
    judge = find_judge(model)
    if judge is not None:
        off = np.abs(judge.logits(ids, [len(ids) - 1])[0] - logits).max()
        assert off < TOLERANCE, f"off by {off:.1e} after {len(ids)} ids"


def find_judge(model: Any) -> NumpyModel | None:
    """The one for ``model``, or for the ``whole`` of one that ranks share; ``None`` for others."""
    model = getattr(model, "whole", model)
    if not isinstance(model, gpt_oss.Model):
        return None
    key = id(model)
    if key not in _judges:
        _judges[key] = _make(model)
        weakref.finalize(model, _judges.pop, key, None)
    return _judges[key]


def _make(model: Any) -> NumpyModel | None:
    weights = _read_weights(model)
    if any(value.dtype != mx.float32 for value in weights.values()):
        return None
    # Positions are gpt-oss's, whatever the loader made of them.
    config = make_config() | {name: getattr(model.args, name) for name in _SIZES}
    return NumpyModel(config, {name: np.array(value) for name, value in weights.items()})


def _read_weights(model: Any) -> dict[str, mx.array]:
    weights: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    for name, module in model.named_modules():
        if f"{name}.scales" not in weights:
            continue
        scales, biases = weights.pop(f"{name}.scales"), weights.pop(f"{name}.biases", None)
        packed = weights[f"{name}.weight"]
        form = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
        # The scales of MXFP4 have no type of floats of their own; those of the others have.
        dtype = mx.float32 if scales.dtype == mx.uint8 else scales.dtype
        weights[f"{name}.weight"] = mx.dequantize(packed, scales, biases, **form, dtype=dtype)
    return {name: value for each in weights.items() for name, value in _split(*each)}


def _split(name: str, value: mx.array) -> list[tuple[str, mx.array]]:
    """The projections that the loader made one of."""
    if "gate_up_proj" not in name:
        return [(name, value)]
    gate, up = mx.split(value, 2, axis=1)
    return [(name.replace("gate_up_", "gate_"), gate), (name.replace("gate_up_", "up_"), up)]
