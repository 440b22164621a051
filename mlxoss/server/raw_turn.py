"""A turn that goes on from raw prompts: no format, no grammar. All else is as in ``turn``."""

from __future__ import annotations

from mlxoss.api.turn_request import RawRequest
from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.raw import RAW_STOP_IDS, RawParser
from mlxoss.server.choice import Choice
from mlxoss.server.final_text import FinalTextGate
from mlxoss.server.services import Services
from mlxoss.server.turn import Turn, spread, submit_all


def start_raw_turn(
    services: Services, encoding: Encoding, request: RawRequest, key: str | None
) -> Turn:
    """Submit ``request``: all of its choices, or none. ``key`` is who asks.

    Raises ContextLengthExceeded, QueueFull, TooManyOfKey or ModelUnavailable.
    """
    leave = services.key_limit.enter(key)
    try:
        generations = submit_all(services.engine, _to_generations(services, request))
    except BaseException:
        leave()
        raise
    choices = [
        Choice(
            generation,
            RawParser(encoding),
            FinalTextGate(index, request.stops),
            single_call=False,
            loop_tokens=0,
        )
        for index, generation in enumerate(generations)
    ]
    return Turn(None, request.prompts, choices, services.limit_s, leave)


def _to_generations(services: Services, request: RawRequest) -> list[GenerationRequest]:
    generations: list[GenerationRequest] = []
    for ids in request.prompts:
        left = services.context_tokens - len(ids)
        if left < 1:
            raise services.too_long(len(ids), "prompt")
        generation = GenerationRequest(
            prompt_ids=ids,
            max_tokens=min(request.max_tokens, left),
            stop_ids=RAW_STOP_IDS,
            sampling=request.sampling,
        )
        generations += spread(generation, request.choices)
    return generations
