"""Train the demo model anew: ``python -m mlxoss.demo.training.train --out FOLDER``.

Writes ``params.npz`` (float32, one row per used id) at every checkpoint and logs
the loss. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping
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

Parts = list[tuple[jax.Array, jax.Array, jax.Array, jax.Array]]

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
    for tokens, goal, positions, counts in parts:
        hidden = network.hidden_states(params, shape, tokens[:, :-1], positions, counts)
        most = goal.size if goal.shape[1] <= drills.LENGTH else goal.size // 2
        most = goal.size // 5 if goal.shape[1] > 400 else most
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


def _spaced(place: Mapping[int, int]) -> dict[int, int]:
    """Rows of words with a space before them, and the row of the same word without."""
    encoding, found = load_encoding(), {}
    for token, row in place.items():
        text = encoding.token_bytes(token).decode("utf-8", "replace")
        if text.startswith(" ") and len(text) > 1:
            first = encoding.encode_text(text[1:])[0]
            if first in place:
                found[row] = place[first]
    return found


def pair_rows(params: Params, rows: list[int]) -> Params:
    """Start " word" near "word", and the head near the embedding: copying is learnt sooner."""
    embed = np.array(params["model.embed_tokens.weight"])
    for row, near in _spaced({token: i + 1 for i, token in enumerate(rows)}).items():
        embed[row] = 0.8 * embed[near] + 0.6 * embed[row]
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
    return [(family, prompt, turn, spans) for family, prompt, turn, spans in kept]


def earlier_rows(path: Path) -> list[int]:
    """The ids that had rows in an earlier run."""
    with np.load(path) as archive:
        return [int(token) for token in archive["rows"]]


def load(path: Path, rows: list[int], seed: int) -> Params:
    """Parameters of an earlier run, which may be the shipped file.

    Ids that it did not have start near the word that they are with a space before it, else
    anywhere; their rows of the head follow from those of the embedding as the others' do.
    """
    with np.load(path) as archive:
        arrays = {name: value.astype(np.float32) for name, value in archive.items()}
    had = {int(token): i + 1 for i, token in enumerate(arrays.pop("rows"))}
    embed, head = arrays["model.embed_tokens.weight"], arrays["lm_head.weight"]
    follows = np.linalg.lstsq(embed[1:], head[1:], rcond=None)[0]
    place = {token: i + 1 for i, token in enumerate(rows)}
    rng = np.random.default_rng(seed)
    wide = rng.normal(0.0, embed[1:].std(), (len(rows) + 1, embed.shape[1])).astype(np.float32)
    wide[0] = embed[0]
    for token, row in place.items():
        if token in had:
            wide[row] = embed[had[token]]
    for row, near in _spaced(place).items():
        if rows[row - 1] not in had:
            wide[row] = 0.8 * wide[near] + 0.6 * wide[row]
    long = wide @ follows
    long[0] = 0.0
    for token, row in place.items():
        if token in had:
            long[row] = head[had[token]]
    arrays |= {"model.embed_tokens.weight": wide, "lm_head.weight": long}
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
    if options.start:
        rows = sorted({*rows, *earlier_rows(options.start)})
    exercises = drills.make_drills(rows, encoding, options.seed, options.drills)
    parts = [*data.buckets(samples, rows), exercises]
    logger.info("%d samples, %d rows, %s", len(samples), len(rows), [len(p.tokens) for p in parts])
    if options.start:
        params = load(options.start, rows, options.seed)
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
        batch = [tuple(map(jnp.asarray, rows)) for rows in next(feed)]
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
