"""One trial of ``mlxoss tune``: the model under some settings, measured in a process of its own.

MLX reads its variables once, at its first use of the GPU, so each set of them needs a process. Run
as a program it reads a ``TrialOrder`` from standard input and prints a ``TrialResult``, each one
line of JSON. MLX is imported only when it has been told of the settings.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlxoss.engine.command_buffers import announce_here
from mlxoss.engine.idling import TICK_S
from mlxoss.engine.trial_values import ROWS, TrialOrder, TrialResult

if TYPE_CHECKING:
    from mlxoss.engine.mlx.last_logits import LastLogits

_MEASURES = 4
"""Samples of each rate: pieces of one run."""

_PAUSES = 3
_SHORT_PROMPT = 300


def run_trial(order: TrialOrder) -> TrialResult:
    """Load and measure. Raises whatever goes wrong."""
    announce_here(order.command_buffers, order.weights_bytes)
    model = _load(order)
    from mlxoss.engine.mlx.device import check_device
    from mlxoss.engine.mlx.raw_speed import Decoding, prefill_rate

    check_device()
    import mlx.core as mx

    prefill_rate(model, _SHORT_PROMPT)  # what is compiled at the first use
    prefill = [prefill_rate(model, order.prompt_tokens)]
    found, taken = {}, hashlib.sha256()
    for rows in (1, ROWS):
        decoding = Decoding(model, rows, _SHORT_PROMPT)
        decoding.run(4)
        each = max(1, order.tokens // _MEASURES)
        found[rows] = [decoding.run(each) for _ in range(_MEASURES)]
        if rows == 1:
            pauses = [_after_pause(decoding, order) for _ in range(_PAUSES)]
        taken.update(json.dumps(decoding.ids()).encode())
    return TrialResult(
        found[1], found[ROWS], prefill, pauses, taken.hexdigest(), mx.get_peak_memory()
    )


def _load(order: TrialOrder) -> LastLogits:
    from mlxoss.engine.checkpoint.loader import load_folder
    from mlxoss.engine.mlx.last_logits import LastLogits
    from mlxoss.engine.mlx.wiring import wire_weights
    from mlxoss.engine.wiring import choose_wiring_here, renew_wired

    wiring = choose_wiring_here(order.wired)
    renew_wired(wiring)
    network = load_folder(Path(order.folder), fp16=order.fp16, fused=order.fused_experts)
    wire_weights(network, wiring)
    return LastLogits(network, compiled=order.compiled_layers, plain_caches=order.plain_caches)


def _after_pause(decoding: Any, order: TrialOrder) -> float:
    """Seconds of the first step after a pause, in which the GPU may be kept warm."""
    from mlxoss.engine.mlx.device import spark

    end = time.monotonic() + order.pause_s
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left_s) if order.keep_warm else left_s)
        if order.keep_warm:
            spark()
    began = time.perf_counter()
    decoding.run(1)
    return time.perf_counter() - began


def main() -> None:
    """Be the process of one trial."""
    order = TrialOrder(**json.loads(sys.stdin.readline()))
    result = run_trial(order)
    sys.stdout.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    main()
