"""Completions: from a request to raw prompts that go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from mlxoss.api.answers import Error
from mlxoss.api.common import CompletionHeader
from mlxoss.api.completions.answers import Completion
from mlxoss.api.completions.request import (
    DEFAULT_MAX_TOKENS,
    CompletionRequest,
    Prompt,
    to_prompts,
)
from mlxoss.api.completions.stream import CompletionStream
from mlxoss.api.sampling import to_sampling
from mlxoss.api.turn_request import RawRequest
from mlxoss.harmony.encoding import END_OF_TEXT, Encoding, is_special
from mlxoss.ids import new_id
from mlxoss.turns.answer import CallKeeper, TurnAnswer
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.start import check_choices, start_raw_turn


async def start_completion(
    context: TurnContext, request: CompletionRequest, caller: Caller
) -> TurnAnswer[Completion | Error]:
    """The turn that answers ``request``. Raises what is to be answered instead."""
    prompts = to_prompts(request.prompt)
    check_choices(request.n or 1, context, "n")
    check_choices(len(prompts) * (request.n or 1), context, "prompt")
    encoding = await context.encoding.get()
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    raw = await asyncio.to_thread(_to_raw_request, encoding, request, prompts)
    turn = start_raw_turn(context, encoding, raw, caller.key)
    turn.tells_progress = bool(request.return_progress)
    stream = _make_stream(request, prompts, context, encoding)
    return TurnAnswer(context, encoding, turn, stream, CallKeeper())


def _to_raw_request(
    encoding: Encoding, wanted: CompletionRequest, prompts: Sequence[Prompt]
) -> RawRequest:
    sampling_fields = wanted.model_copy(update={"top_logprobs": wanted.logprobs})
    return RawRequest(
        tuple(_to_ids(encoding, prompt) for prompt in prompts),
        to_sampling(sampling_fields, logprobs=wanted.logprobs is not None),
        max_tokens=wanted.max_tokens or DEFAULT_MAX_TOKENS,
        choices=wanted.n or 1,
        stops=tuple(wanted.stop or ()),
    )


def _to_ids(encoding: Encoding, prompt: Prompt) -> tuple[int, ...]:
    """No text at all is where a document begins."""
    ids = encoding.encode_text(prompt) if isinstance(prompt, str) else prompt
    return tuple(ids) or (END_OF_TEXT,)


def _to_text(encoding: Encoding, prompt: Prompt) -> str:
    """What ``echo`` shows: as in a completion, control tokens are no text."""
    if isinstance(prompt, str):
        return prompt
    parts = [encoding.token_bytes(token_id) for token_id in prompt if not is_special(token_id)]
    return b"".join(parts).decode("utf-8", "replace")


def _make_stream(
    wanted: CompletionRequest, prompts: Sequence[Prompt], context: TurnContext, encoding: Encoding
) -> CompletionStream:
    options = wanted.stream_options
    texts = [_to_text(encoding, prompt) for prompt in prompts] if wanted.echo else []
    return CompletionStream(
        CompletionHeader(new_id("cmpl-"), int(time.time()), context.model.name),
        choices=len(prompts) * (wanted.n or 1),
        token_bytes=encoding.token_bytes,
        echoes=[text for text in texts for _ in range(wanted.n or 1)],
        include_usage=not wanted.stream or bool(options and options.include_usage),
    )
