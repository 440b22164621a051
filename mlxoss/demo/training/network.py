"""The ``gpt_oss`` network in JAX, for training on a CPU.

It computes what ``mlx_lm.models.gpt_oss`` computes, with gpt-oss's own rotary
frequencies (``mlxoss.engine.checkpoint.yarn``), restricted to the ids in use:
embedding and head hold one row per used id, row 0 standing for all others.
Parameters are a flat dictionary whose keys are the names that mlx-lm gives its
weights, so that a checkpoint is written without renaming.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from mlxoss.demo.training.shape import ROPE_SCALING, Shape

Params = dict[str, jax.Array]


def rope_frequencies(shape: Shape) -> tuple[np.ndarray, float]:
    """Angles per position, shape ``(head_dim / 2,)``, and the factor on q and k (YaRN)."""
    dims, base = shape.head_dim, shape.rope_theta
    factor, original = ROPE_SCALING["factor"], ROPE_SCALING["original_max_position_embeddings"]

    def correction(rotations: float) -> float:
        return dims * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low = max(correction(ROPE_SCALING["beta_fast"]), 0)
    high = min(correction(ROPE_SCALING["beta_slow"]), dims - 1)
    extra = base ** (np.arange(0, dims, 2) / dims)
    ramp = np.clip((np.arange(dims // 2) - low) / max(high - low, 0.001), 0, 1)
    keep = 1.0 - ramp
    periods = (factor * extra * extra) / (factor * extra * keep + extra * (1 - keep))
    return (1.0 / periods).astype(np.float32), 0.1 * math.log(factor) + 1.0


def init_params(shape: Shape, rows: int, seed: int) -> Params:
    """Random parameters for ``rows`` rows of embedding and head (row 0: unknown ids)."""
    rng = np.random.default_rng(seed)
    hidden, inner, experts = shape.hidden_size, shape.intermediate_size, shape.num_local_experts
    q_size = shape.num_attention_heads * shape.head_dim
    kv_size = shape.num_key_value_heads * shape.head_dim

    def normal(*size: int, std: float) -> np.ndarray:
        return rng.normal(0.0, std, size).astype(np.float32)

    params: dict[str, np.ndarray] = {
        "model.embed_tokens.weight": normal(rows, hidden, std=0.5),
        "model.norm.weight": np.ones(hidden, np.float32),
        "lm_head.weight": normal(rows, hidden, std=0.05),
    }
    scale = hidden**-0.5
    for i in range(shape.num_hidden_layers):
        attn, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
        for name, size in (("q_proj", q_size), ("k_proj", kv_size), ("v_proj", kv_size)):
            params[f"{attn}{name}.weight"] = normal(size, hidden, std=scale)
            params[f"{attn}{name}.bias"] = np.zeros(size, np.float32)
        params[f"{attn}o_proj.weight"] = normal(hidden, q_size, std=0.3 * q_size**-0.5)
        params[f"{attn}o_proj.bias"] = np.zeros(hidden, np.float32)
        params[f"{attn}sinks"] = np.zeros(shape.num_attention_heads, np.float32)
        params[f"{mlp}router.weight"] = normal(experts, hidden, std=scale)
        params[f"{mlp}router.bias"] = np.zeros(experts, np.float32)
        for name in ("gate_proj", "up_proj"):
            params[f"{mlp}experts.{name}.weight"] = normal(experts, inner, hidden, std=scale)
            params[f"{mlp}experts.{name}.bias"] = np.zeros((experts, inner), np.float32)
        params[f"{mlp}experts.down_proj.weight"] = normal(
            experts, hidden, inner, std=0.3 * inner**-0.5
        )
        params[f"{mlp}experts.down_proj.bias"] = np.zeros((experts, hidden), np.float32)
        params[f"model.layers.{i}.input_layernorm.weight"] = np.ones(hidden, np.float32)
        params[f"model.layers.{i}.post_attention_layernorm.weight"] = np.ones(hidden, np.float32)
    return {name: jnp.asarray(value) for name, value in params.items()}


def _rms_norm(x: jax.Array, weight: jax.Array, eps: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def _rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Rope on ``(..., length, head_dim)``, halves paired (not interleaved)."""
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _attention(
    params: Params, prefix: str, shape: Shape, x: jax.Array, where: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """Attention as plain batched matrix products, which XLA runs fastest on a CPU."""
    rows, length, _ = x.shape
    positions, bias = where
    groups = shape.num_attention_heads // shape.num_key_value_heads
    dim = shape.head_dim
    names = ("q_proj", "k_proj", "v_proj")
    weight = jnp.concatenate([params[f"{prefix}{name}.weight"] for name in names])
    offset = jnp.concatenate([params[f"{prefix}{name}.bias"] for name in names])
    heads = (x @ weight.T + offset).reshape(rows, length, -1, dim).transpose(0, 2, 1, 3)
    at = shape.num_attention_heads
    q, k, v = jnp.split(heads, [at, at + shape.num_key_value_heads], axis=1)
    frequencies, factor = rope_frequencies(shape)
    angles = positions[:, None, :, None] * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    q = _rotate(q, cos, sin) * (factor * factor * dim**-0.5)
    q = q.reshape(rows, -1, groups * length, dim)
    scores = q @ jnp.swapaxes(_rotate(k, cos, sin), -1, -2)
    scores = scores.reshape(rows, at, length, length) + bias
    sinks = params[f"{prefix}sinks"][None, :, None, None]
    top = jax.lax.stop_gradient(jnp.maximum(scores.max(axis=-1, keepdims=True), sinks))
    weights = jnp.exp(scores - top)
    share = 1.0 / (weights.sum(axis=-1, keepdims=True) + jnp.exp(sinks - top))
    out = (weights.reshape(rows, -1, groups * length, length) @ v).reshape(rows, at, length, dim)
    out = (out * share).transpose(0, 2, 1, 3).reshape(rows, length, -1)
    return out @ params[f"{prefix}o_proj.weight"].T + params[f"{prefix}o_proj.bias"]


def _experts(params: Params, prefix: str, shape: Shape, x: jax.Array) -> jax.Array:
    """All experts on every token: 4 of 4 are chosen, so routing only weighs them."""
    hidden, count = shape.hidden_size, shape.num_local_experts

    names = [f"{prefix}experts.{name}" for name in ("gate_proj", "up_proj")]
    weight = jnp.concatenate([params[f"{name}.weight"].reshape(-1, hidden) for name in names])
    offset = jnp.concatenate([params[f"{name}.bias"].reshape(-1) for name in names])
    gate, up = jnp.split(x @ weight.T + offset, 2, axis=-1)
    gate, up = jnp.minimum(gate, 7.0), jnp.clip(up, -7.0, 7.0)
    inner = (up + 1.0) * gate * jax.nn.sigmoid(1.702 * gate)
    share = jax.nn.softmax(
        x @ params[f"{prefix}router.weight"].T + params[f"{prefix}router.bias"], axis=-1
    )
    inner = inner.reshape(*x.shape[:-1], count, -1) * share[..., None]
    down = params[f"{prefix}experts.down_proj.weight"]
    flat = down.transpose(1, 0, 2).reshape(hidden, -1)
    out = inner.reshape(*x.shape[:-1], -1) @ flat.T
    return out + share @ params[f"{prefix}experts.down_proj.bias"]


def hidden_states(
    params: Params, shape: Shape, tokens: jax.Array, positions: jax.Array, counts: jax.Array
) -> jax.Array:
    """Normed outputs of the last layer, shape ``(rows, length, hidden)``, for rows of tokens.

    In full attention a token counts ``exp(counts)`` times.
    """
    eps = shape.rms_norm_eps
    distance = (positions[:, :, None] - positions[:, None, :])[:, None]
    full = jnp.where(distance >= 0, counts[:, None, None, :], -1e9)
    near = (distance >= 0) & (distance < shape.sliding_window)
    sliding = jnp.where(near, 0.0, -1e9)
    x = params["model.embed_tokens.weight"][tokens]
    for i, kind in enumerate(shape.layer_types):
        layer = f"model.layers.{i}."
        bias = full if kind == "full_attention" else sliding
        normed = _rms_norm(x, params[f"{layer}input_layernorm.weight"], eps)
        x = x + _attention(params, f"{layer}self_attn.", shape, normed, (positions, bias))
        normed = _rms_norm(x, params[f"{layer}post_attention_layernorm.weight"], eps)
        x = x + _experts(params, f"{layer}mlp.", shape, normed)
    return _rms_norm(x, params["model.norm.weight"], eps)
