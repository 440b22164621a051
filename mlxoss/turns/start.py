"""Starting turns: render, check, submit."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlxoss.api.errors import invalid, unsupported
from mlxoss.api.turn_request import RawRequest, TurnRequest
from mlxoss.core import GenerationRequest, Grammar, SamplingParams
from mlxoss.engine.engine import Engine
from mlxoss.engine.generation import Generation
from mlxoss.harmony.conversation import Conversation
from mlxoss.harmony.encoding import STOP_IDS, Encoding
from mlxoss.harmony.grammar.rules import FreeText
from mlxoss.harmony.head import Head, read_head
from mlxoss.harmony.parser import TurnParser
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.raw_parser import RAW_STOP_IDS, RawParser
from mlxoss.turns.ahead.table import MOST_TOKENS
from mlxoss.turns.choice import FinalTextGate, PromptChoice, TurnChoice
from mlxoss.turns.context import TurnContext
from mlxoss.turns.limits.time_limit import TimeLimit
from mlxoss.turns.turn import Turn

_SEED_STEP = 0x9E3779B97F4A7C15
_SEED_MASK = (1 << 64) - 1


async def start_turn(
    context: TurnContext, encoding: Encoding, request: TurnRequest, key: str | None
) -> Turn:
    """Render and submit ``request``: all of its choices, or none. ``key`` is who asks.

    An answer in free text ends as too long when its last ``loop_guard`` tokens repeat (0: never).
    The turn may take ``limit_s`` from its submission, waiting for its place included.

    Raises ContextLengthExceeded, InvalidRequest, QueueFull, TooManyOfKey or ModelUnavailable.
    """
    leave = context.key_limit.enter(key)
    try:
        prepared = await prepare(context, encoding, request)
        generations = submit_all(context.engine, spread(prepared.generation, request.choices))
    except BaseException:
        leave()
        raise
    return prepared.to_turn(generations, TimeLimit(context.limit_s), leave)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A turn before it is submitted: ``request``, and what the engine is asked for."""

    encoding: Encoding
    request: TurnRequest
    generation: GenerationRequest
    loop_tokens: int

    def to_turn(
        self,
        generations: Sequence[Generation],
        limit: TimeLimit,
        on_close: Callable[[], None] = lambda: None,
    ) -> Turn:
        """The turn of what was submitted."""
        request, conversation = self.request, self.request.conversation
        kind = PromptChoice if request.only_prompt else TurnChoice
        choices = [
            kind(
                generation,
                TurnParser(self.encoding, conversation.functions, conversation.builtin_recipients),
                FinalTextGate(index, request.stops),
                single_call=request.single_call,
                loop_tokens=self.loop_tokens,
            )
            for index, generation in enumerate(generations)
        ]
        return Turn(conversation, [self.generation.prompt_ids], choices, limit, on_close)


async def prepare(context: TurnContext, encoding: Encoding, request: TurnRequest) -> Prepared:
    """Compile the grammar and render the prompt. Raises ContextLengthExceeded, InvalidRequest."""
    context_tokens = context.context_tokens
    grammar = None if request.only_prompt else await to_grammar(context, encoding, request)
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    prompt_ids, head = await asyncio.to_thread(
        _render,
        encoding,
        request.conversation,
        most_prompt_tokens(request, context_tokens) if request.truncate else None,
        is_counted=context.warmer.is_on,
    )
    left = context_tokens - len(prompt_ids)
    if left < 1:
        raise context.too_long(len(prompt_ids), request.prompt_param)
    context.warmer.count(head)
    generation_request = GenerationRequest(
        prompt_ids=tuple(prompt_ids),
        # The first token says that the prompt is computed.
        max_tokens=1 if request.only_prompt else min(request.max_tokens or left, left),
        stop_ids=STOP_IDS,
        sampling=SamplingParams() if request.only_prompt else request.sampling,
        grammar=grammar,
        is_background=request.is_background,
        cache_key=_to_short(request.cache_key),
    )
    # Structured output is exempt, as arguments are: data may well repeat.
    is_text = isinstance(request.rules.final, FreeText)
    loop_tokens = context.config.loop_guard if is_text else 0
    return Prepared(encoding, request, generation_request, loop_tokens)


def _render(
    encoding: Encoding, conversation: Conversation, most_tokens: int | None, *, is_counted: bool
) -> tuple[list[int], Head | None]:
    """The prompt, and what it begins with, where that is counted."""
    prompt_ids = render_prompt(encoding, conversation, most_tokens=most_tokens)
    return prompt_ids, read_head(encoding, prompt_ids, MOST_TOKENS) if is_counted else None


def _to_short(key: str | None) -> str | None:
    """A client's key in a length of ours: it is remembered, and told to other ranks."""
    return key and hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def check_choices(choices: int, context: TurnContext, param: str) -> None:
    """Raises InvalidRequest, naming ``param``, for more sequences than ever run at a time."""
    most = context.config.max_batch
    if choices > most:
        raise invalid(param, f"this server runs at most {most} sequences at a time")


async def to_grammar(
    context: TurnContext, encoding: Encoding, request: TurnRequest
) -> Grammar | None:
    """The grammar of ``request``'s rules, where there are grammars. Raises InvalidRequest."""
    if context.served.load_grammars is not None:
        grammars = context.served.load_grammars(encoding)
        return await asyncio.to_thread(grammars.compile, request.rules)
    for param in request.needs_grammar:
        raise unsupported(param, "this server was started with --guard off")
    return None


def most_prompt_tokens(request: TurnRequest, context_tokens: int) -> int:
    """What a prompt that may be cut is cut to: the answer keeps a quarter, or what it asked for."""
    answer = min(request.max_tokens or context_tokens, context_tokens // 4)
    return context_tokens - max(answer, 1)


def spread(request: GenerationRequest, choices: int) -> list[GenerationRequest]:
    """``request`` once for each choice."""
    samplings = (with_seed_of(request.sampling, index) for index in range(choices))
    return [dataclasses.replace(request, sampling=sampling) for sampling in samplings]


def submit_all(engine: Engine, requests: Sequence[GenerationRequest]) -> list[Generation]:
    """Submit all of them, or none. Raises as ``Engine.submit``."""
    generations: list[Generation] = []
    try:
        for request in requests:
            generations.append(engine.submit(request))
    except BaseException:
        for generation in generations:
            generation.cancel()
        raise
    return generations


def with_seed_of(sampling: SamplingParams, index: int) -> SamplingParams:
    """A seed of its own for each choice or round, the same ones each time; the first keeps the
    request's."""
    if sampling.seed is None or index == 0:
        return sampling
    return dataclasses.replace(sampling, seed=(sampling.seed + index * _SEED_STEP) & _SEED_MASK)


def start_raw_turn(
    context: TurnContext, encoding: Encoding, request: RawRequest, key: str | None
) -> Turn:
    """Submit ``request``: all of its choices, or none. ``key`` is who asks.

    Raises ContextLengthExceeded, QueueFull, TooManyOfKey or ModelUnavailable.
    """
    leave = context.key_limit.enter(key)
    try:
        generations = submit_all(context.engine, _to_generations(context, request))
    except BaseException:
        leave()
        raise
    choices = [
        TurnChoice(
            generation,
            RawParser(encoding),
            FinalTextGate(index, request.stops),
            single_call=False,
            loop_tokens=0,
        )
        for index, generation in enumerate(generations)
    ]
    return Turn(None, request.prompts, choices, TimeLimit(context.limit_s), leave)


def _to_generations(context: TurnContext, request: RawRequest) -> list[GenerationRequest]:
    generations: list[GenerationRequest] = []
    for ids in request.prompts:
        left = context.context_tokens - len(ids)
        if left < 1:
            raise context.too_long(len(ids), "prompt")
        generation = GenerationRequest(
            prompt_ids=ids,
            max_tokens=min(request.max_tokens, left),
            stop_ids=RAW_STOP_IDS,
            sampling=request.sampling,
        )
        generations += spread(generation, request.choices)
    return generations
