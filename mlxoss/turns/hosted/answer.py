"""An answer whose calls this server runs itself: several rounds of the model in one request.

Theory of operation. The model writes a turn. If it calls tools that this server runs, they are run,
what they answered is put behind the turn, and the model goes on from there: that is a round. In
this order:

1. ``Hold`` takes the key's count, a place in the engine and the time, once. Only there is a request
   refused because others are before it. All of them are kept to the end, so ``request_timeout``
   counts the tools' time too, and a later round waits for a slot before those that came later.
2. What the client allowed earlier is run before the model is asked (``Prelude``).
3. A round is a ``Turn`` in the engine. When it has ended the engine's slot is free: while a tool
   runs nothing is held there, and others decode.
4. The turn's calls are run one after the other (``ToolRun``). Each ends with an outcome, also where
   a tool breaks, so that the model can go on.
5. The next prompt is the last one, the turn's own ids and the results, in ids (``Rounds``). Nothing
   is rendered or encoded a second time, and the prefix cache knows all but the results.
6. Stream and keeper are told that the round has ended (``end_round``, ``keep_round``): its ids and
   its results are kept beside its items, or sealed with the reasoning that follows.

It ends with a turn that calls nothing that this server runs; where the client has to answer a call
or to allow one; or where the answer's tokens or the context are used up, as a turn does that is
cut. Once all calls that may be made are made, the grammar has no more of these tools.

Whatever ends it early (``cancel``, a client that left, the time, a stop of the server) ends the
call that runs, which is waited for until nothing is left of it. Tokens of all rounds are added up,
as OpenAI does: those of the prompts too, since each round reads its prompt. Most of that is in
``cached_tokens``, and the difference is what was computed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, Protocol

from mlxoss.api.answer_stream import AnswerStream, EventT
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import RunnableCall, ToolResult
from mlxoss.api.turn_request import TurnOutput
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import TurnEnd, TurnEndReason
from mlxoss.harmony.grammar.rules import TurnRules
from mlxoss.outcomes import McpOutcome, ToolOutcome
from mlxoss.turns.answer import Keeper, TurnAnswer, make_cancelled
from mlxoss.turns.context import TurnContext
from mlxoss.turns.hosted.request_tools import RequestTools, to_broken
from mlxoss.turns.hosted.rounds import Rounds
from mlxoss.turns.hosted.runs import ToolRun
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.turn import Turn

MOST_CALLS = 128
"""Of tools that this server runs, in one answer whose request names no bound."""

_NO_MORE = "No more calls of this tool may be made. Answer with what is known."


class HostedStream(Protocol[EventT]):
    """What a stream tells of calls that this server runs."""

    @property
    def calls_to_run(self) -> tuple[RunnableCall, ...]:
        """The calls of the turn that ended, in order."""

    @property
    def ignored_calls(self) -> tuple[RunnableCall, ...]:
        """Those over the most that may be made."""

    @property
    def awaits_client(self) -> bool:
        """Whether the client has to answer a call, or to allow one."""

    def begin_call(self, call: RunnableCall) -> list[EventT]:
        """The events as ``call`` begins to run."""

    def end_call(self, call: RunnableCall, outcome: ToolOutcome) -> list[EventT]:
        """The events as it has ended."""

    def end_round(self, token_ids: Sequence[int], results: Mapping[str, ToolResult]) -> EndedRound:
        """What is to be kept of a turn whose calls were run; ``results`` by their items' ids."""


class RoundKeeper(Keeper[EventT], Protocol):
    """Keeps rounds."""

    def keep_round(self, ended: EndedRound) -> None:
        """A round has ended; it is kept with the answer."""

    def follow(self, turn: Turn) -> None:
        """``turn`` is the one that runs now."""


class Prelude(Generic[EventT]):
    """What is run before the model is asked: nothing, unless an API has something."""

    def calls(self) -> Iterator[tuple[RunnableCall, list[EventT]]]:
        """The calls to run first, each with the events that tell of it."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Loop(Generic[EventT]):
    """What the rounds of one request are made of.

    ``most_calls`` may be made. ``functions`` are those among the model's that this server runs.
    """

    rounds: Rounds
    tools: RequestTools
    hold: Hold
    stream: HostedStream[EventT]
    keeper: RoundKeeper[EventT]
    prelude: Prelude[EventT]
    most_calls: int = MOST_CALLS
    functions: frozenset[str] = frozenset()

    def rules(self, calls: int, *, is_first: bool) -> TurnRules:
        """What the next round may hold once so many ``calls`` were made."""
        rules = self.rounds.rules
        if not is_first:
            rules = replace(rules, must_call=False)
        if calls < self.most_calls:
            return rules
        left = tuple(one for one in rules.calls if one.name not in self.functions)
        return replace(rules, calls=left, builtins=(), must_call=rules.must_call and bool(left))


class HostedAnswer(TurnAnswer[EventT]):
    """See ``TurnAnswer``. ``turn`` is the round that runs, or ran last; ``start`` the first one."""

    def __init__(
        self,
        context: TurnContext,
        encoding: Encoding,
        stream: AnswerStream[EventT],
        loop: Loop[EventT],
    ) -> None:
        super().__init__(context, encoding, loop.rounds.nothing_yet(), stream, loop.keeper)
        self._loop = loop
        self._run: ToolRun[ToolOutcome] | None = None
        self._calls = 0
        self._is_told_no_more = False
        self._has_ended = False
        loop.keeper.follow(self.turn)

    async def start(self) -> None:
        """Submit the first round. Raises what is to be answered instead."""
        self._take(await self._loop.rounds.first(self._loop.rules(self._calls, is_first=True)))

    async def steps(self, log: LoggedRequest) -> AsyncGenerator[list[EventT], None]:
        """See ``TurnAnswer``."""
        async with aclosing(self._open()) as opening:
            async for events in opening:
                yield events
        while not self._has_ended:
            async with aclosing(super().steps(log)) as steps:
                async for events in steps:
                    yield events
            async with aclosing(self._end_round()) as ending:
                async for events in ending:
                    yield events

    def cancel(self) -> None:
        """See ``TurnAnswer``."""
        super().cancel()
        if self._run is not None:
            self._run.end(make_cancelled())

    def close(self, log: LoggedRequest) -> None:
        """See ``TurnAnswer``."""
        super().close(log)
        self._loop.hold.close()

    async def _open(self) -> AsyncGenerator[list[EventT], None]:
        """Run what comes before the first round, and start that if nothing did."""
        if self.turn.prompts:
            return
        results: dict[str, ToolResult] = {}
        for call, events in self._loop.prelude.calls():
            yield [*self._begin(), *events]
            async with aclosing(self._run_calls([call], results)) as running:
                async for told in running:
                    yield told
        await self._loop.rounds.add_results(tuple(results.values()))
        await self.start()
        if self._has_ended:
            yield self._cut()

    async def _end_round(self) -> AsyncGenerator[list[EventT], None]:
        """Run what the turn called, and start the next one unless this was the last."""
        stream, keeper = self._loop.stream, self._loop.keeper
        calls, ignored = stream.calls_to_run, stream.ignored_calls
        results: dict[str, ToolResult] = {}
        async with aclosing(self._run_calls(calls, results)) as running:
            async for told in running:
                yield told
        self._has_ended = stream.awaits_client or not self._has_news(calls, ignored)
        if calls or not self._has_ended:
            (token_ids,) = self.turn.token_ids
            keeper.keep_round(stream.end_round(token_ids, results))
        if not self._has_ended:
            read = (*results.values(), *(one.to_result(McpOutcome(_NO_MORE)) for one in ignored))
            rules = self._loop.rules(self._calls, is_first=False)
            self._take(await self._loop.rounds.next(self.turn, read, rules))
            if self._has_ended:
                yield self._cut()

    def _has_news(self, calls: Sequence[RunnableCall], ignored: Sequence[RunnableCall]) -> bool:
        """Whether the model has something to read; that it may call no more it is told once."""
        is_told, self._is_told_no_more = self._is_told_no_more, bool(ignored)
        return bool(calls) or (bool(ignored) and not is_told)

    async def _run_calls(
        self, calls: Sequence[RunnableCall], results: dict[str, ToolResult]
    ) -> AsyncGenerator[list[EventT], None]:
        """Run them one after the other; ``results`` are added by their items' ids."""
        stream = self._loop.stream
        for call in calls:
            self._calls += 1
            if events := stream.begin_call(call):
                yield events
            outcome = await self._wait(call)
            results[call.item_id] = call.to_result(outcome)
            if events := stream.end_call(call, outcome):
                yield events

    async def _wait(self, call: RunnableCall) -> ToolOutcome:
        if self._is_cancelled:
            raise make_cancelled()
        self._run = self._loop.tools.begin(call, self._loop.hold)
        self.turn.tool = call.recipient
        try:
            return await self._run.wait() or to_broken(call)
        finally:
            self._run = self.turn.tool = None

    def _take(self, turn: Turn | None) -> None:
        """``turn`` is the round that runs now; ``None``: nothing may be written any more."""
        if turn is None:
            self._has_ended = True
            return
        if self._is_cancelled:
            turn.close()
            raise make_cancelled()
        last, self._turn = self._turn, turn
        self._context.recoveries.update(last.close())
        turn.go_on_from(last)
        self._loop.keeper.follow(turn)

    def _cut(self) -> list[EventT]:
        return self.stream.feed(TurnOutput(0, TurnEnd(TurnEndReason.LENGTH)))
