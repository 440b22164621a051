"""The one path of every turn: render, check, submit, parse, stop, cancel."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from mlxoss.api.fields import invalid, unsupported
from mlxoss.api.turn_request import TurnRequest, Usage
from mlxoss.core import GenerationRequest, Grammar, SamplingParams, TokenOutput
from mlxoss.engine.engine import Engine
from mlxoss.engine.generation import Generation
from mlxoss.errors import GenerationCancelled, TurnTimedOut
from mlxoss.harmony.conversation import Conversation
from mlxoss.harmony.encoding import STOP_IDS, Encoding
from mlxoss.harmony.parser import TurnParser
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.rules import FreeText
from mlxoss.server.choice import Choice
from mlxoss.server.final_text import FinalTextGate, TurnOutput
from mlxoss.server.services import Services

logger = logging.getLogger(__name__)

_SEED_STEP = 0x9E3779B97F4A7C15
_SEED_MASK = (1 << 64) - 1


class Turn:
    """A turn whose generations are in the engine. Iterate it, then ``close`` it, whatever happened.

    Iterating yields lists of outputs: what a step brought, of all choices, or as much of it as
    ``Choice.take`` takes at once. It raises what a generation raises, or TurnTimedOut ``limit_s``
    from now; then the other choices are lost too. ``conversation`` is what it answers, ``None`` if
    it goes on from raw prompts. ``prompts`` are token ids; all have as many choices, one prompt's
    after the other's. ``close`` calls ``on_close``, which does nothing when called again. Belongs
    to the event loop's thread.
    """

    def __init__(
        self,
        conversation: Conversation | None,
        prompts: Sequence[Sequence[int]],
        choices: Sequence[Choice],
        limit_s: float | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.conversation = conversation
        self.prompts = prompts
        self._choices = choices
        self._limit_s = limit_s
        self._on_close = on_close
        self._is_over = False
        self._timer = limit_s and asyncio.get_running_loop().call_later(limit_s, self._time_out)
        self._waiting: dict[asyncio.Task[tuple[TokenOutput, ...]], Choice] = {}

    def __aiter__(self) -> Turn:
        return self

    async def __anext__(self) -> list[TurnOutput]:
        try:
            return await self._next()
        except GenerationCancelled:
            if not self._is_over:
                raise
            message = (
                f"The answer was not complete after {self._limit_s:.0f} s, the most that this "
                "server gives one (its setting request_timeout)."
            )
            raise TurnTimedOut(message) from None

    def _time_out(self) -> None:
        self._is_over = True
        for choice in self._choices:
            choice.generation.cancel()

    async def _next(self) -> list[TurnOutput]:
        open_choices = [choice for choice in self._choices if not choice.has_ended]
        if not open_choices:
            raise StopAsyncIteration
        if any(choice.has_unread for choice in open_choices):
            if self._is_over:
                raise GenerationCancelled("The client reads what came before too slowly.")
            await asyncio.sleep(0)
            return [output for choice in open_choices for output in choice.take()]
        if len(open_choices) == 1 and not self._waiting:
            (choice,) = open_choices
            return choice.take(await anext(choice.generation))
        return await self._next_of(open_choices)

    async def _next_of(self, open_choices: Sequence[Choice]) -> list[TurnOutput]:
        expected = set(self._waiting.values())
        for choice in open_choices:
            if choice not in expected:
                task = asyncio.ensure_future(anext(choice.generation))
                self._waiting[task] = choice
        done, _ = await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
        outputs: list[TurnOutput] = []
        for task in [task for task in self._waiting if task in done]:
            outputs += self._waiting.pop(task).take(task.result())
        return outputs

    def close(self) -> Counter[str]:
        """Cancel what still runs; return where the parser put the output right, by kind."""
        if self._timer:
            self._timer.cancel()
        self._on_close()
        for choice in self._choices:
            choice.generation.cancel()
        for task in self._waiting:
            if not task.cancel() and not task.cancelled():
                task.exception()  # seen, so that asyncio does not report it as lost
        self._waiting.clear()
        return sum((choice.parser.recoveries for choice in self._choices), Counter())

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        per_prompt = len(self._choices) // len(self.prompts)
        firsts = self._choices[::per_prompt]
        return Usage(
            prompt_tokens=sum(len(ids) for ids in self.prompts),
            completion_tokens=sum(choice.tokens for choice in self._choices),
            reasoning_tokens=sum(choice.parser.reasoning_tokens for choice in self._choices),
            cached_tokens=sum(choice.generation.cached_tokens for choice in firsts),
        )

    @property
    def wait_s(self) -> float:
        """How long the first choice waited for its slot."""
        return self._choices[0].generation.wait_s

    def has_ended(self, index: int) -> bool:
        """Whether choice ``index`` is complete."""
        return self._choices[index].has_ended

    @property
    def token_ids(self) -> list[list[int]]:
        """What the model wrote so far, choice by choice."""
        return [choice.token_ids for choice in self._choices]


async def start_turn(
    services: Services, encoding: Encoding, request: TurnRequest, key: str | None
) -> Turn:
    """Render and submit ``request``: all of its choices, or none. ``key`` is who asks.

    An answer in free text ends as too long when its last ``loop_guard`` tokens repeat (0: never).
    The turn may take ``limit_s`` from its submission, waiting for its place included.

    Raises ContextLengthExceeded, InvalidRequest, QueueFull, TooManyOfKey or ModelUnavailable.
    """
    leave = services.key_limit.enter(key)
    try:
        return await _start(services, encoding, request, leave)
    except BaseException:
        leave()
        raise


async def _start(
    services: Services, encoding: Encoding, request: TurnRequest, leave: Callable[[], None]
) -> Turn:
    engine, context_tokens = services.engine, services.context_tokens
    grammar = await _to_grammar(engine, request)
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    prompt_ids = await asyncio.to_thread(
        render_prompt,
        encoding,
        request.conversation,
        most_tokens=_most_prompt_tokens(request, context_tokens) if request.truncate else None,
    )
    left = context_tokens - len(prompt_ids)
    if left < 1:
        raise services.too_long(len(prompt_ids), request.prompt_param)
    generation_request = GenerationRequest(
        prompt_ids=tuple(prompt_ids),
        max_tokens=min(request.max_tokens or left, left),
        stop_ids=STOP_IDS,
        sampling=request.sampling,
        grammar=grammar,
        is_background=request.is_background,
    )
    # Structured output is exempt, as arguments are: data may well repeat.
    is_text = isinstance(request.rules.final, FreeText)
    functions = [tool.name for tool in request.conversation.tools]
    generations = submit_all(engine, spread(generation_request, request.choices))
    return Turn(
        request.conversation,
        [prompt_ids],
        [
            Choice(
                generation,
                TurnParser(encoding, functions),
                FinalTextGate(index, request.stops),
                single_call=request.single_call,
                loop_tokens=services.config.loop_guard if is_text else 0,
            )
            for index, generation in enumerate(generations)
        ],
        services.limit_s,
        leave,
    )


def check_choices(choices: int, services: Services, param: str) -> None:
    """Raises InvalidRequest, naming ``param``, for more sequences than ever run at a time."""
    most = services.config.max_batch
    if choices > most:
        raise invalid(param, f"this server runs at most {most} sequences at a time")


async def _to_grammar(engine: Engine, request: TurnRequest) -> Grammar | None:
    if engine.load_guards is not None:
        guards = engine.load_guards()
        return await asyncio.to_thread(guards.compile, request.rules)
    for param in request.needs_guard:
        raise unsupported(param, "this server was started with --guard off")
    return None


def _most_prompt_tokens(request: TurnRequest, context_tokens: int) -> int:
    """What a prompt that may be cut is cut to: the answer keeps a quarter, or what it asked for."""
    answer = min(request.max_tokens or context_tokens, context_tokens // 4)
    return context_tokens - max(answer, 1)


def spread(request: GenerationRequest, choices: int) -> list[GenerationRequest]:
    """``request`` once for each choice."""
    samplings = (_for_choice(request.sampling, index) for index in range(choices))
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


def _for_choice(sampling: SamplingParams, index: int) -> SamplingParams:
    """A seed of its own for each choice, the same ones each time; the first keeps the request's."""
    if sampling.seed is None or index == 0:
        return sampling
    return dataclasses.replace(sampling, seed=(sampling.seed + index * _SEED_STEP) & _SEED_MASK)
