"""A head start in copying: two attention heads that form an induction circuit.

Random heads find this circuit only after thousands of steps, and suddenly (Olsson
et al., "In-context learning and induction heads"); placed by hand it is there from
the first step, and training shapes it like any other weight.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mlxoss.core import JsonObject
from mlxoss.demo.training.network import Params, rope_frequencies
from mlxoss.demo.training.shape import Shape

_FAST = 9
"""Frequencies that tell neighbours apart; the slower ones leave content as it is."""


def _orthonormal(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, count)))[0].T.astype(np.float32)


def place_copying(params: Params, shape: Shape, seed: int) -> Params:
    """``params`` with the last key/value head of layers 0 and 1 replaced.

    Layer 0's looks one token back and writes that token's projection into the
    residual stream; layer 1's looks for the place whose predecessor equals the
    current token and adds the token there to what is predicted.
    """
    rng = np.random.default_rng(seed)
    dim, hidden, half = shape.head_dim, shape.hidden_size, shape.head_dim // 2
    slow = np.concatenate([np.arange(_FAST, half), np.arange(half + _FAST, dim)])
    sought = np.zeros((dim, hidden), np.float32)
    sought[slow] = _orthonormal(rng, len(slow), hidden)
    written = _orthonormal(rng, dim, hidden).T
    moved = _orthonormal(rng, dim, hidden)

    frequencies, _ = rope_frequencies(shape)
    here, back = np.zeros(dim, np.float32), np.zeros(dim, np.float32)
    here[:_FAST] = 5.0
    back[:_FAST] = 5.0 * np.cos(-frequencies[:_FAST])
    back[half : half + _FAST] = 5.0 * np.sin(-frequencies[:_FAST])

    none, flat = np.zeros((dim, hidden), np.float32), np.zeros(dim, np.float32)
    previous = {"q": (none, back), "k": (none, here), "v": (sought, flat), "o": written}
    matching = {
        "q": (1.8 * sought, flat),
        "k": (1.8 * sought @ sought.T @ written.T, flat),
        "v": (moved, flat),
        "o": moved.T,
    }
    changed = {name: np.array(value) for name, value in params.items()}
    for layer, head in enumerate((previous, matching)):
        _put(changed, f"model.layers.{layer}.self_attn.", shape, head)
    return {name: jnp.asarray(value) for name, value in changed.items()}


def _put(params: dict[str, np.ndarray], prefix: str, shape: Shape, head: JsonObject) -> None:
    dim = shape.head_dim
    groups = shape.num_attention_heads // shape.num_key_value_heads
    for name in ("q", "k", "v"):
        weight, bias = head[name]
        params[f"{prefix}{name}_proj.weight"][-dim:] = weight
        params[f"{prefix}{name}_proj.bias"][-dim:] = bias
    params[f"{prefix}o_proj.weight"][:, -groups * dim :] *= 0.1
    params[f"{prefix}o_proj.weight"][:, -dim:] = head["o"]
    params[f"{prefix}sinks"][-1] = -10.0
