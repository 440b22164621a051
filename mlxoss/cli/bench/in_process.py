"""The in-process side of ``mlxoss bench``: the server's model, loaded here a second time."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlxoss import paths
from mlxoss.cli.bench.table import BenchRow
from mlxoss.cli.memory import has_room_for_two
from mlxoss.cli.options import read_config
from mlxoss.daemon.tuning import apply_tuned
from mlxoss.engine.checkpoint.loader import ModelSource, resolve_model
from mlxoss.engine.command_buffers import announce_here
from mlxoss.engine.wiring import choose_wiring_here, renew_wired
from mlxoss.errors import MlxossError

if TYPE_CHECKING:
    from mlxoss.engine.mlx.last_logits import LastLogits


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The model, and how it is measured."""

    model: LastLogits
    rounds: int
    tokens: int

    def beside(self, row: BenchRow, streams: int) -> BenchRow:
        """``row`` with what the model does by itself on as many tokens, and the share of that."""
        from mlxoss.engine.mlx.raw_speed import decode_rate, prefill_rate

        new_tokens = max(1, row.prompt_tokens - row.cached_tokens)
        if row.decode_per_s is None:
            rates = [prefill_rate(self.model, new_tokens) for _ in range(self.rounds)]
        else:
            prompt = max(1, row.prompt_tokens)
            rates = [
                decode_rate(self.model, streams, prompt_tokens=prompt, tokens=self.tokens)
                for _ in range(self.rounds)
            ]
        limit = statistics.median(rates)
        reached = row.prefill_per_s if row.decode_per_s is None else row.decode_per_s
        share = None if reached is None else reached / limit
        return replace(row, limit_per_s=limit, of_limit=share)

    def device_rates(self) -> tuple[float, float]:
        """Bytes that the device reads and operations that it does, both per second, by themselves
        and in the model's type."""
        from mlxoss.engine.mlx.raw_speed import multiply_rate, read_rate

        return read_rate(), multiply_rate(self.model.network.model.norm.weight.dtype)


def configured_model() -> ModelSource:
    """The configuration's model. Raises ``ModelError``."""
    return resolve_model(read_config({}).model)


def find_model(source: ModelSource, served: str, *, asked_for: bool) -> ModelSource | str:
    """The model of the configuration if it is the one ``served`` and there is room; else why not.

    Raises ``MlxossError`` with the reason if it was ``asked_for``, but room is its owner's affair
    then.
    """
    if source.info.name != served:
        why = f"the configuration's model is {source.info.name}, the server's {served}"
    elif not asked_for and not has_room_for_two(source.folder):
        return "In-process: not measured, there is no room for the model a second time."
    else:
        return source
    if asked_for:
        raise MlxossError(f"It cannot be compared in-process: {why}; try: mlxoss restart")
    return f"In-process: not measured, {why}."


def load(source: ModelSource, rounds: int, tokens: int) -> LoadedModel:
    """Load it on this thread, and run it once, for what is compiled at the first use."""
    config = apply_tuned(read_config({}), source, paths.data_dir())
    announce_here(config.command_buffers, source.weights_bytes)

    from mlxoss.engine.mlx.last_logits import LastLogits
    from mlxoss.engine.mlx.raw_speed import decode_rate
    from mlxoss.engine.mlx.wiring import wire_weights

    wiring = choose_wiring_here(config.wired)
    renew_wired(wiring)
    # All as the server does: else it would be held against another way of computing the model.
    network = source.load(fp16=config.fp16, fused=config.fused_experts)
    wire_weights(network, wiring)
    model = LastLogits(network, compiled=config.compiled_layers, plain_caches=config.plain_caches)
    decode_rate(model, 1, prompt_tokens=8, tokens=2)
    return LoadedModel(model, rounds, tokens)
