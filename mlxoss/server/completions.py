"""``POST /v1/completions``. Imports pydantic and openai-harmony, which are slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss.api.chat_stream import ChatHeader
from mlxoss.api.completions_request import (
    DEFAULT_MAX_TOKENS,
    CompletionRequest,
    Prompt,
    parse_completion_request,
    to_prompts,
)
from mlxoss.api.completions_stream import CompletionStream, fold_completion
from mlxoss.api.sampling import to_sampling
from mlxoss.api.turn_request import RawRequest
from mlxoss.harmony.encoding import END_OF_TEXT, Encoding, is_special
from mlxoss.server.event_answer import send_chunks
from mlxoss.server.http import json_response, new_id, read_json_object
from mlxoss.server.raw_turn import start_raw_turn
from mlxoss.server.request_log import RequestLog
from mlxoss.server.services import Services
from mlxoss.server.turn import Turn, check_choices
from mlxoss.server.turn_end import close_turn

Chunks = list[dict[str, Any]]


async def complete(request: Request, services: Services) -> HTTPResponse | None:
    """Answer one request, in a stream or as a whole."""
    with RequestLog(request, services) as log, services.turn_in_progress():
        return await _complete(request, services, log)


async def _complete(request: Request, services: Services, log: RequestLog) -> HTTPResponse | None:
    wanted = parse_completion_request(await read_json_object(request))
    prompts = to_prompts(wanted.prompt)
    check_choices(wanted.n or 1, services, "n")
    check_choices(len(prompts) * (wanted.n or 1), services, "prompt")
    encoding = await services.encoding.get()
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    raw = await asyncio.to_thread(_to_raw_request, encoding, wanted, prompts)
    turn = start_raw_turn(services, encoding, raw, request.ctx.key)
    batches = _to_batches(turn, _make_stream(wanted, prompts, services, encoding), log)
    try:
        if not wanted.stream:
            whole = [chunks async for chunks in batches]
            return json_response(fold_completion(chunk for chunks in whole for chunk in chunks))
        await send_chunks(request, services, batches, log)
        return None
    finally:
        close_turn(turn, services, encoding, log)


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
    wanted: CompletionRequest, prompts: Sequence[Prompt], services: Services, encoding: Encoding
) -> CompletionStream:
    options = wanted.stream_options
    texts = [_to_text(encoding, prompt) for prompt in prompts] if wanted.echo else []
    return CompletionStream(
        ChatHeader(new_id("cmpl-"), int(time.time()), services.model.name),
        token_bytes=encoding.token_bytes,
        echoes=[text for text in texts for _ in range(wanted.n or 1)],
        include_usage=not wanted.stream or bool(options and options.include_usage),
    )


async def _to_batches(
    turn: Turn, stream: CompletionStream, log: RequestLog
) -> AsyncIterator[Chunks]:
    """The chunks that each step brings, if any, the first when there is a token."""
    begun = stream.begin()
    async for outputs in turn:
        log.note_tokens()
        chunks, begun = begun, []
        for output in outputs:
            chunks += stream.feed(output.index, output.event, output.logprob)
        if chunks:
            yield chunks
    if chunks := stream.finish(turn.usage):
        yield chunks
