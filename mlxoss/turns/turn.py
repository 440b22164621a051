"""The generations of one request, as one stream of outputs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import TokenOutput
from mlxoss.engine.generation import Generation
from mlxoss.errors import GenerationCancelled
from mlxoss.harmony.conversation import Conversation
from mlxoss.turns.choice import TurnChoice
from mlxoss.turns.limits.time_limit import TimeLimit


class Turn:
    """A turn whose generations are in the engine. Iterate it, then ``close`` it, whatever happened.

    Iterating yields lists of outputs: what a step brought, of all choices, or as much of it as
    ``TurnChoice.take`` takes at once. It raises what a generation raises, or TurnTimedOut at the
    end of ``limit``; then the other choices are lost too. ``conversation`` is what it
    answers, ``None`` if it goes on from raw prompts. ``prompts`` are token ids; all have as many
    choices, one prompt's after the other's; without any there is nothing to write. ``rounds`` is
    how many turns its answer has by now, ``tool`` the one that runs once it has ended. ``close``
    calls ``on_close``, which does nothing when called again. Belongs to the event loop's thread.
    """

    def __init__(
        self,
        conversation: Conversation | None,
        prompts: Sequence[Sequence[int]],
        choices: Sequence[TurnChoice],
        limit: TimeLimit,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.conversation = conversation
        self.prompts = prompts
        self.rounds = 1
        self.tool: str | None = None
        self._earlier = Usage(0, 0)
        self._earlier_wait_s: float | None = None
        self._choices = choices
        self._limit = limit
        self._on_close = on_close
        self._is_over = False
        self.is_closed = False
        self._timer = limit.call_at_end(self._time_out)
        self._waiting: dict[asyncio.Task[tuple[TokenOutput, ...]], TurnChoice] = {}

    def go_on_from(self, last: Turn) -> None:
        """Count ``last`` with this one: both are of one answer."""
        self._earlier = last.usage
        if last.prompts:
            self._earlier_wait_s = last.wait_s
            self.rounds = last.rounds + 1

    def __aiter__(self) -> Turn:
        return self

    async def __anext__(self) -> list[TurnOutput]:
        try:
            return await self._next()
        except GenerationCancelled:
            if not self._is_over:
                raise
            raise self._limit.make_error() from None

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

    async def _next_of(self, open_choices: Sequence[TurnChoice]) -> list[TurnOutput]:
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
        self.is_closed = True
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
        """Tokens so far, with those of the turns that this one goes on from."""
        per_prompt = max(1, len(self._choices)) // max(1, len(self.prompts))
        firsts = self._choices[::per_prompt]
        return self._earlier + Usage(
            prompt_tokens=sum(len(ids) for ids in self.prompts),
            completion_tokens=sum(choice.tokens for choice in self._choices),
            reasoning_tokens=sum(choice.parser.reasoning_tokens for choice in self._choices),
            cached_tokens=sum(choice.generation.cached_tokens for choice in firsts),
        )

    @property
    def tells_progress(self) -> bool:
        """Whether iterating yields an empty list, too, whenever a prefill went on."""
        return any(choice.generation.tells_progress for choice in self._choices)

    @tells_progress.setter
    def tells_progress(self, is_wanted: bool) -> None:
        for choice in self._choices:
            choice.generation.tells_progress = is_wanted

    @property
    def is_prefilling(self) -> bool:
        """Whether no token came yet."""
        return not any(choice.generation.has_begun for choice in self._choices)

    @property
    def slowest(self) -> Generation:
        """The generation whose prefill has the most to do yet."""
        return max(
            (choice.generation for choice in self._choices),
            key=lambda generation: generation.prompt.left_tokens,
        )

    @property
    def wait_s(self) -> float:
        """How long the first choice waited for its slot; of several turns that of the first."""
        if self._earlier_wait_s is not None or not self._choices:
            return self._earlier_wait_s or 0.0
        return self._choices[0].generation.wait_s

    def has_ended(self, index: int) -> bool:
        """Whether choice ``index`` is complete."""
        return self._choices[index].has_ended

    @property
    def token_ids(self) -> list[list[int]]:
        """What the model wrote so far, choice by choice."""
        return [choice.token_ids for choice in self._choices]
