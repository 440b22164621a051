"""Muon for the matrices inside the layers, Adam for everything else."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlxoss.demo.training.network import Params

State = dict[str, tuple[jax.Array, jax.Array]]


def is_matrix(name: str) -> bool:
    """Whether ``name`` is a weight matrix of a layer (Muon), not a row, bias or norm (Adam)."""
    inside = name.startswith("model.layers.") and name.endswith("_proj.weight")
    return inside


def init_state(params: Params) -> State:
    """Zero momenta."""
    return {name: (jnp.zeros_like(p), jnp.zeros_like(p)) for name, p in params.items()}


def orthogonalise(matrix: jax.Array) -> jax.Array:
    """The nearest matrix with all singular values near one (five Newton-Schulz steps).

    The coefficients are those of K. Jordan's Muon; leading axes are a batch.
    """
    wide = matrix.shape[-2] <= matrix.shape[-1]
    x = matrix if wide else jnp.swapaxes(matrix, -1, -2)
    x = x / (jnp.sqrt(jnp.sum(x * x, axis=(-1, -2), keepdims=True)) + 1e-7)
    for _ in range(5):
        square = x @ jnp.swapaxes(x, -1, -2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if wide else jnp.swapaxes(x, -1, -2)


def update(
    params: Params, grads: Params, state: State, step: jax.Array, rates: tuple[jax.Array, jax.Array]
) -> tuple[Params, State]:
    """One step; ``rates`` are Muon's and Adam's learning rates, ``step`` counts from 1."""
    muon_rate, adam_rate = rates
    new_params, new_state = {}, {}
    for name, p in params.items():
        first, second = state[name]
        grad = grads[name]
        if is_matrix(name):
            first = 0.95 * first + grad
            change = orthogonalise(grad + 0.95 * first)
            scale = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
            new_params[name] = p * (1 - 0.02 * muon_rate) - muon_rate * scale * change
        else:
            first = 0.9 * first + 0.1 * grad
            second = 0.98 * second + 0.02 * grad * grad
            mean, spread = first / (1 - 0.9**step), second / (1 - 0.98**step)
            new_params[name] = p - adam_rate * mean / (jnp.sqrt(spread) + 1e-9)
        new_state[name] = (first, second)
    return new_params, new_state
