"""Train the demo model anew: ``python -m mlxoss.demo.training.train --out FOLDER``.

Writes ``params.npz`` (float32, one row per used id) at every checkpoint and logs
the loss. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlxoss.core import JsonObject
from mlxoss.demo.training import circuit, data, drills, network, optimiser
from mlxoss.demo.training.network import Params
from mlxoss.demo.training.shape import Shape
from mlxoss.harmony.encoding import VOCAB_SIZE, load_encoding

Parts = list[tuple[jax.Array, jax.Array]]

logger = logging.getLogger(__name__)

LEAK_MARGIN = 3.0
"""Added to the logit of the rows without weights, so that they end up very unlikely."""


def loss_sum(
    params: Params, shape: Shape, parts: Parts, zero_rows: float
) -> tuple[jax.Array, jax.Array]:
    """Summed cross entropy over the turns' tokens, and their number.

    ``zero_rows`` rows of the head have logit zero and are counted.
    """
    total, count = jnp.zeros(()), jnp.zeros(())
    head = params["lm_head.weight"][1:]
    for tokens, goal in parts:
        hidden = network.hidden_states(params, shape, tokens[:, :-1])
        most = goal.size if goal.shape[1] <= drills.LENGTH else goal.size // 2
        where = jnp.nonzero(goal.reshape(-1), size=most, fill_value=0)[0]
        weight = goal.reshape(-1)[where] * (jnp.arange(most) < (goal > 0).sum())
        logits = hidden.reshape(-1, hidden.shape[-1])[where] @ head.T
        wanted = tokens[:, 1:].reshape(-1)[where] - 1
        rest = jnp.full((most, 1), np.log(zero_rows) + LEAK_MARGIN)
        norm = jax.nn.logsumexp(jnp.concatenate([logits, rest], axis=1), axis=1)
        right = jnp.take_along_axis(logits, jnp.maximum(wanted, 0)[:, None], axis=1)[:, 0]
        total += jnp.sum((norm - right) * weight)
        count += jnp.sum(weight)
    return total, count


def make_step(shape: Shape, zero_rows: float, mesh: jax.sharding.Mesh) -> Any:
    """The compiled step: each device takes its part of every batch."""

    def step_on_device(
        params: Params,
        state: optimiser.State,
        parts: Parts,
        step: jax.Array,
        rates: tuple[jax.Array, jax.Array],
    ) -> tuple[Params, optimiser.State, jax.Array]:
        scored = jax.value_and_grad(loss_sum, has_aux=True)
        (total, count), grads = scored(params, shape, parts, zero_rows)
        total, count, grads = jax.lax.psum((total, count, grads), "rows")
        grads = {name: grad / count for name, grad in grads.items()}
        params, state = optimiser.update(params, grads, state, step, rates)
        return params, state, total / count

    whole, split = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("rows")
    mapped = jax.shard_map(
        step_on_device,
        mesh=mesh,
        in_specs=(whole, whole, split, whole, whole),
        out_specs=(whole, whole, whole),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=(0, 1))


def pair_rows(params: Params, rows: list[int]) -> Params:
    """Start " word" near "word", and the head near the embedding: copying is learnt sooner."""
    encoding = load_encoding()
    place = {token: i + 1 for i, token in enumerate(rows)}
    embed = np.array(params["model.embed_tokens.weight"])
    for token, row in place.items():
        text = encoding.token_bytes(token).decode("utf-8", "replace")
        if text.startswith(" ") and len(text) > 1:
            first = encoding.encode_text(text[1:])[0]
            if first in place:
                embed[row] = 0.8 * embed[place[first]] + 0.6 * embed[row]
    head = np.array(params["lm_head.weight"]) + 0.2 * embed
    head[0] = 0.0
    changed = {"model.embed_tokens.weight": embed, "lm_head.weight": head}
    return {**params, **{name: jnp.asarray(value) for name, value in changed.items()}}


def rate(step: int, steps: int) -> float:
    """Warm-up over 40 steps, constant until 45 %, then linear to zero."""
    return min(step / 40, 1.0, (steps - step) / (0.55 * steps))


def load_pool(path: Path, seed: int, count: int) -> list[data.Sample]:
    """The samples to train on, kept in ``path`` for the next run."""
    if not path.exists():
        path.write_text(json.dumps(data.make_pool(seed, count, workers=2)))
    kept: list[list[Any]] = json.loads(path.read_text())
    return [(family, prompt, turn) for family, prompt, turn in kept]


def load(path: Path, rows: list[int]) -> Params:
    """Parameters of an earlier run; ids that it did not have start at zero."""
    with np.load(path) as archive:
        arrays = dict(archive)
    old = {int(token): i + 1 for i, token in enumerate(arrays.pop("rows"))}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        taken = np.zeros((len(rows) + 1, arrays[name].shape[1]), np.float32)
        taken[0] = arrays[name][0]
        for i, token in enumerate(rows):
            if token in old:
                taken[i + 1] = arrays[name][old[token]]
        arrays[name] = taken
    return {name: jnp.asarray(value) for name, value in arrays.items()}


def save(path: Path, params: Params, rows: list[int]) -> None:
    """Write the parameters and the ids of their rows (row 0 belongs to no id)."""
    arrays: JsonObject = {name: np.asarray(value) for name, value in params.items()}
    np.savez(path, rows=np.asarray(rows, np.int32), **arrays)


def run(options: argparse.Namespace) -> None:
    """Train and write checkpoints."""
    shape = Shape()
    options.out.mkdir(parents=True, exist_ok=True)
    samples = load_pool(options.out / "pool.json", options.seed, options.samples)
    encoding = load_encoding()
    rows = data.rows_for(samples, encoding)
    exercises = drills.make_drills(rows, encoding, options.seed, options.drills)
    parts = [*data.buckets(samples, rows), exercises]
    logger.info("%d samples, %d rows, %s", len(samples), len(rows), [len(p.tokens) for p in parts])
    if options.start:
        params = load(options.start, rows)
    else:
        params = pair_rows(network.init_params(shape, len(rows) + 1, options.seed), rows)
        params = circuit.place_copying(params, shape, options.seed)
    state = optimiser.init_state(params)
    devices = jax.devices()
    advance = make_step(shape, float(VOCAB_SIZE - len(rows)), jax.sharding.Mesh(devices, "rows"))
    feed = data.batches(parts, options.batch, options.seed, len(devices))
    begun, recent = time.monotonic(), []
    for step in range(1, options.steps + 1):
        share = rate(step, options.steps)
        rates = (jnp.float32(options.muon_rate * share), jnp.float32(options.adam_rate * share))
        batch = [(jnp.asarray(tokens), jnp.asarray(goal)) for tokens, goal in next(feed)]
        params, state, value = advance(params, state, batch, jnp.float32(step), rates)
        recent.append(float(value))
        if step % 20 == 0:
            mean, recent = sum(recent) / len(recent), []
            logger.info("%5d  %.4f  %.0f s", step, mean, time.monotonic() - begun)
        if step % options.save_every == 0 or step == options.steps:
            save(options.out / "params.npz", params, rows)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="go on from this params.npz")
    parser.add_argument("--steps", type=int, default=1100)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--drills", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.004)
    parser.add_argument("--save-every", type=int, default=100)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
