"""gpt-oss's forward pass in numpy: an independent judge of any small checkpoint.

Written from the published model (OpenAI's ``gpt_oss/torch/model.py``, YaRN's paper arXiv
2309.00071), for clearness and not for speed; ``tests/reference`` compares it with the reference
logits. Weights have mlx-lm's names and are not quantised. Computed in float64, but for the angles:
these are products in float32 in all implementations, which at 4,000 tokens is seen in the logits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SWIGLU_ALPHA = 1.702
SWIGLU_LIMIT = 7.0
_QUERIES = 256
"""Queries whose scores are there at once."""


class NumpyModel:
    """A model by its ``config.json`` and its weights."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
        self._config = config
        self._head = weights["lm_head.weight"].astype(np.float64)
        self._embedding = weights["model.embed_tokens.weight"]
        self._weights = {
            name: value.astype(np.float64)
            for name, value in weights.items()
            if name.startswith(("model.layers.", "model.norm."))
        }

    def logits(self, ids: Sequence[int], at: Sequence[int]) -> Array:
        """Logits (len(at), vocabulary) after the tokens at those positions of ``ids``."""
        return np.asarray(self.hidden(ids)[list(at)] @ self._head.T)

    def hidden(self, ids: Sequence[int]) -> Array:
        """What the head is applied to, (tokens, hidden)."""
        x = self._embedding[list(ids)].astype(np.float64)
        for layer, kind in enumerate(self._config["layer_types"]):
            prefix = f"model.layers.{layer}."
            window = self._config["sliding_window"] if kind == "sliding_attention" else len(ids)
            x = x + self._attention(prefix, self._norm(prefix + "input_layernorm", x), window)
            x = x + self._experts(prefix, self._norm(prefix + "post_attention_layernorm", x))
        return self._norm("model.norm", x)

    def _norm(self, name: str, x: Array) -> Array:
        squares = np.mean(x * x, axis=-1, keepdims=True)
        scaled = x / np.sqrt(squares + self._config["rms_norm_eps"])
        return np.asarray(scaled * self._weights[name + ".weight"])

    def _linear(self, name: str, x: Array) -> Array:
        return np.asarray(x @ self._weights[name + ".weight"].T + self._weights[name + ".bias"])

    def _attention(self, prefix: str, x: Array, window: int) -> Array:
        config, own = self._config, prefix + "self_attn."
        width, kv_heads = config["head_dim"], config["num_key_value_heads"]
        cos, sin = yarn(config, len(x))
        q, k, v = (
            self._linear(own + name, x).reshape(len(x), -1, width).swapaxes(0, 1)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = len(q) // kv_heads
        heads = [
            attend(q[head], k[head // group], v[head // group], sink, window)
            for head, sink in enumerate(self._weights[own + "sinks"])
        ]
        return self._linear(own + "o_proj", np.concatenate(heads, axis=1))

    def _experts(self, prefix: str, x: Array) -> Array:
        own = prefix + "mlp.experts."
        scores = self._linear(prefix + "mlp.router", x)
        # The best are chosen first, and share the whole weight.
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._config["num_experts_per_tok"]]
        shares = softmax(np.take_along_axis(scores, best, axis=1))
        out = np.zeros_like(x)
        for expert in np.unique(best):
            rows, ranks = np.nonzero(best == expert)
            gate, up = (self._expert(own + name, expert, x[rows]) for name in ("gate", "up"))
            inner = self._expert(own + "down", expert, swiglu(gate, up))
            out[rows] += shares[rows, ranks, None] * inner
        return out

    def _expert(self, name: str, expert: int, x: Array) -> Array:
        weight = self._weights[name + "_proj.weight"][expert]
        return np.asarray(x @ weight.T + self._weights[name + "_proj.bias"][expert])


def yarn(config: Mapping[str, Any], count: int) -> tuple[Array, Array]:
    """Cosines and sines (tokens, head_dim / 2) of positions 0 to ``count`` - 1.

    The range in which frequencies pass from kept to divided is not rounded: ``truncate`` is false.
    """
    scaling, half = config["rope_scaling"], config["head_dim"] // 2
    assert scaling["rope_type"] == "yarn"
    assert scaling["truncate"] is False
    base, factor = float(config["rope_theta"]), scaling["factor"]

    def pair(turns: float) -> float:
        """The pair that turns so often within the original context; no whole number."""
        length = scaling["original_max_position_embeddings"] / (turns * 2 * math.pi)
        return float(half * math.log(length) / math.log(base))

    low, high = pair(scaling["beta_fast"]), pair(scaling["beta_slow"])
    pairs = np.arange(half)
    kept = base ** (-pairs / half)
    divided = np.clip((pairs - low) / (high - low), 0, 1)
    frequencies = kept * (1 - divided) + kept / factor * divided
    angles = np.arange(count, dtype=np.float32)[:, None] * frequencies.astype(np.float32)
    scale = 0.1 * math.log(factor) + 1
    angles = angles.astype(np.float64)
    return np.cos(angles) * scale, np.sin(angles) * scale


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Turn the pairs (i, i + head_dim / 2) of ``x`` (heads, tokens, head_dim)."""
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(q: Array, k: Array, v: Array, sink: float, window: int) -> Array:
    """One head: each token sees itself and those less than ``window`` before it, and the sink,
    which takes its share of the weight and adds nothing."""
    out = np.empty_like(q)
    for start in range(0, len(q), _QUERIES):
        stop = min(start + _QUERIES, len(q))
        first = max(0, start - window + 1)
        distances = np.arange(start, stop)[:, None] - np.arange(first, stop)
        scores = q[start:stop] @ k[first:stop].T / math.sqrt(q.shape[1])
        scores[(distances < 0) | (distances >= window)] = -math.inf
        with_sink = np.concatenate([scores, np.full((stop - start, 1), sink)], axis=1)
        out[start:stop] = softmax(with_sink)[:, :-1] @ v[first:stop]
    return out


def swiglu(gate: Array, up: Array) -> Array:
    """gpt-oss's activation: both clamped, the gate only from above."""
    gate, up = np.minimum(gate, SWIGLU_LIMIT), np.clip(up, -SWIGLU_LIMIT, SWIGLU_LIMIT)
    return np.asarray(gate / (1 + np.exp(-SWIGLU_ALPHA * gate)) * (up + 1))


def softmax(scores: Array) -> Array:
    """Along the last axis."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
