"""The rounds of one request: each prompt goes on in ids from what the model saw and wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlxoss.api.hosted.calls import ToolResult
from mlxoss.api.turn_request import TurnRequest
from mlxoss.core import GenerationRequest
from mlxoss.harmony.conversation import Conversation, ExactTurn, FinalText
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.rules import TurnRules
from mlxoss.harmony.prompt import render_prompt, render_results
from mlxoss.harmony.read_turn import read_turn
from mlxoss.harmony.splice import close_turn, speaks_only_as
from mlxoss.turns.context import TurnContext
from mlxoss.turns.limits.hold import Hold
from mlxoss.turns.start import Prepared, most_prompt_tokens, to_grammar, with_seed_of
from mlxoss.turns.turn import Turn

_ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What a round answers, as items and as ids."""

    conversation: Conversation
    ids: tuple[int, ...]


class Rounds:
    """Starts the turns of one request, one after the other, in the place that it holds.

    ``prepared`` is the first. With ``tells_progress`` each turn does. The event loop's thread.
    """

    def __init__(
        self, context: TurnContext, prepared: Prepared, hold: Hold, *, tells_progress: bool
    ) -> None:
        self._tells_progress = tells_progress
        self._context = context
        self._prepared = prepared
        self._hold = hold
        self._prompt = _Prompt(prepared.request.conversation, prepared.generation.prompt_ids)
        self._number = 0
        self._written = 0

    @property
    def rules(self) -> TurnRules:
        """What the request lets a round hold."""
        return self._prepared.request.rules

    def nothing_yet(self) -> Turn:
        """A turn that has ended, for what is done before the model is asked."""
        return Turn(self._prompt.conversation, [], [], self._hold.limit)

    async def add_results(self, results: Sequence[ToolResult]) -> None:
        """Before the first round: what calls of an earlier response were answered."""
        if results:
            encoding, prompt = self._prepared.encoding, self._prompt
            self._prompt = await asyncio.to_thread(_with_results, encoding, prompt, results)

    async def first(self, rules: TurnRules) -> Turn | None:
        """As ``next``, of the round that nothing was written before."""
        return await self._start(rules)

    async def next(
        self, last: Turn, results: Sequence[ToolResult], rules: TurnRules
    ) -> Turn | None:
        """The turn that goes on from ``last``, whose calls were answered by ``results``.

        ``None`` where nothing may be written any more. Raises ModelUnavailable.
        """
        (token_ids,) = last.token_ids
        self._written += len(token_ids)
        encoding, prompt = self._prepared.encoding, self._prompt
        self._prompt = await asyncio.to_thread(
            _with_turn, encoding, prompt, tuple(token_ids), results
        )
        return await self._start(rules)

    async def _start(self, rules: TurnRules) -> Turn | None:
        generation = await self._to_generation(rules)
        if generation is None:
            return None
        conversation = self._prompt.conversation
        request = replace(self._prepared.request, conversation=conversation, rules=rules)
        prepared = replace(self._prepared, request=request, generation=generation)
        self._number += 1
        turn = prepared.to_turn([self._hold.place.submit(generation)], self._hold.limit)
        turn.tells_progress = self._tells_progress
        return turn

    async def _to_generation(self, rules: TurnRules) -> GenerationRequest | None:
        first, request = self._prepared.generation, self._prepared.request
        ids = await self._fitting_ids(request)
        left = self._context.context_tokens - len(ids)
        if request.max_tokens is not None:
            left = min(left, request.max_tokens - self._written)
        if left < 1:
            return None
        grammar = first.grammar
        if rules != self.rules:
            wanted = replace(request, rules=rules)
            grammar = await to_grammar(self._context, self._prepared.encoding, wanted)
        return replace(
            first,
            prompt_ids=ids,
            max_tokens=left,
            grammar=grammar,
            sampling=with_seed_of(first.sampling, self._number),
        )

    async def _fitting_ids(self, request: TurnRequest) -> tuple[int, ...]:
        """The prompt; where the request allows it, without the oldest if it is too long."""
        prompt, most = self._prompt, self._context.context_tokens
        if not request.truncate or len(prompt.ids) < most:
            return prompt.ids
        encoding = self._prepared.encoding
        kept = most_prompt_tokens(request, most)
        ids = await asyncio.to_thread(
            render_prompt, encoding, prompt.conversation, most_tokens=kept
        )
        self._prompt = replace(prompt, ids=tuple(ids))
        return self._prompt.ids


def _with_results(encoding: Encoding, prompt: _Prompt, results: Sequence[ToolResult]) -> _Prompt:
    conversation = prompt.conversation
    before = prompt.ids[: -len(render_results(encoding, ()))]
    return _Prompt(
        replace(conversation, items=(*conversation.items, *results)),
        (*before, *render_results(encoding, results)),
    )


def _with_turn(
    encoding: Encoding,
    prompt: _Prompt,
    token_ids: tuple[int, ...],
    results: Sequence[ToolResult],
) -> _Prompt:
    """``prompt`` with the turn that answered it: as ``render_prompt`` has it, without rendering
    what was there before."""
    old = prompt.conversation
    turn = read_turn(encoding, token_ids, old.functions, old.builtin_recipients)
    conversation = replace(old, items=(*old.items, turn, *results))
    if not _is_appended(encoding, turn):
        return _Prompt(conversation, tuple(render_prompt(encoding, conversation)))
    ids = (*prompt.ids, *close_turn(token_ids), *render_results(encoding, results))
    return _Prompt(conversation, ids)


def _is_appended(encoding: Encoding, turn: ExactTurn) -> bool:
    """Whether the turn's own ids stand behind what was there before: not where it spoke for others,
    or where a final takes away what was thought before it."""
    has_final = any(isinstance(item, FinalText) for item in turn.items)
    return not has_final and speaks_only_as(encoding.encode_text(_ASSISTANT), turn.token_ids)
