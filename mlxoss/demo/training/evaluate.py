"""Whole turns on new samples: ``python -m mlxoss.demo.training.evaluate PARAMS.npz``.

Runs mlx-lm's network over the used rows only, which is much faster than the
expanded checkpoint and chooses the same tokens.
"""

from __future__ import annotations

import argparse
import collections
import logging
import random
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models import gpt_oss

from mlxoss.demo.training.data import row_table
from mlxoss.demo.training.export import model_config
from mlxoss.demo.training.network import rope_frequencies
from mlxoss.demo.training.render import example_ids
from mlxoss.demo.training.shape import Shape
from mlxoss.demo.training.templates.conversations import sample
from mlxoss.demo.training.templates.examples import Example
from mlxoss.harmony.encoding import STOP_IDS, VOCAB_SIZE, Encoding, load_encoding

logger = logging.getLogger(__name__)


class Speaker:
    """The network over its used rows, in float16's precision as it is shipped."""

    def __init__(self, params: Path, temperature: float, seed: int) -> None:
        with np.load(params) as archive:
            arrays = dict(archive)
        rows = arrays.pop("rows")
        self._ids = np.concatenate([[0], rows])
        self._table = row_table(list(rows))
        self._temperature = temperature
        self._rng = np.random.default_rng(seed)
        config = {**model_config(Shape()), "vocab_size": len(rows) + 1}
        self._model: Any = gpt_oss.Model(gpt_oss.ModelArgs.from_dict(config))
        rounded = {name: value.astype(np.float16) for name, value in arrays.items()}
        self._model.load_weights(
            [(name, mx.array(value.astype(np.float32))) for name, value in rounded.items()]
        )
        frequencies, _ = rope_frequencies(Shape())
        for layer in self._model.layers:  # mlx-lm's own are rounded
            layer.self_attn.rope._freqs = mx.array(1 / frequencies)

    def write(self, prompt: list[int], limit: int) -> list[int]:
        """The turn after ``prompt``, its stop token included if it comes in ``limit`` tokens.

        Id -1 stands for any id without weights.
        """
        cache = self._model.make_cache()
        tokens = self._table[prompt]
        out: list[int] = []
        while len(out) < limit and not (out and out[-1] in STOP_IDS):
            logits = np.array(self._model(mx.array(tokens)[None], cache=cache)[0, -1])
            row = self._choose(logits.astype(np.float64))
            out.append(int(self._ids[row]) if row else -1)
            tokens = np.array([row])
        return out

    def _choose(self, logits: np.ndarray) -> int:
        logits[0] = np.log(VOCAB_SIZE - len(logits) + 1)
        if self._temperature:
            logits = logits / self._temperature + self._rng.gumbel(size=len(logits))
        return int(logits.argmax())


def _log_failure(encoding: Encoding, example: Example, wanted: list[int], got: list[int]) -> None:
    question = example.conversation.items[-1]
    known = [token for token in got if token >= 0]
    logger.info(
        "%s: %s\n  want %s\n  got  %s",
        example.family,
        question,
        encoding.decode(wanted),
        encoding.decode(known),
    )


def evaluate(speaker: Speaker, count: int, seed: int) -> None:
    """Log how many whole turns are exact, by family."""
    encoding, rng = load_encoding(), random.Random(seed)
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        example = sample(rng)
        prompt, wanted = example_ids(encoding, example)
        got = speaker.write(prompt, len(wanted) + 20)
        total[example.family] += 1
        right[example.family] += got == wanted
        if got != wanted:
            _log_failure(encoding, example, wanted, got)
    for family, number in sorted(total.items()):
        logger.info("%-14s %3d of %3d", family, right[family], number)
    logger.info("%-14s %3d of %3d", "all", right.total(), total.total())


def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("params", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=999)
    parser.add_argument("--temperature", type=float, default=0.0)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parser.parse_args()
    speaker = Speaker(options.params, options.temperature, options.seed)
    evaluate(speaker, options.count, options.seed)


if __name__ == "__main__":
    main()
