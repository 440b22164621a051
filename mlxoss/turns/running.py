"""What is told of requests that wait or run: how far they are, and no words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it brings Harmony's modules, which a server that starts needs not yet
    from mlxoss.api.answers import PromptProgressReport
    from mlxoss.api.monitor import RunningRequest
    from mlxoss.engine.engine import Engine
    from mlxoss.engine.progress import PromptProgress
    from mlxoss.turns.turn import Turn


def to_running(id_: str, endpoint: str, turn: Turn, engine: Engine) -> RunningRequest:
    """One request as ``GET /mlxoss/requests`` tells it while it runs."""
    generation = turn.slowest
    prompt, usage = generation.prompt, turn.usage
    told: RunningRequest = {
        "id": id_,
        "endpoint": endpoint,
        "state": "decode",
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    if turn.tool is not None:
        told["tool"] = turn.tool
    if place := engine.place(generation.uid):
        told["state"], told["place"] = "queued", place.number
        if place.estimate_s is not None:
            told["left_s"] = round(place.estimate_s, 1)
    elif turn.is_prefilling:
        told["state"] = "prefill"
        told["prefilled_tokens"] = prompt.done_tokens
        if (rate := prompt.tokens_per_s) is not None and (left_s := prompt.left_s) is not None:
            told["prefill_tokens_per_s"], told["left_s"] = round(rate, 1), round(left_s, 1)
    return told


def to_report(prompt: PromptProgress) -> PromptProgressReport:
    """How far a prompt is, as a stream tells it."""
    return {
        "total": prompt.prompt_tokens,
        "cache": prompt.cached_tokens,
        "processed": prompt.done_tokens,
        "time_ms": round(prompt.elapsed_s * 1000),
    }
