"""``/v1/responses`` over HTTP. Imports pydantic and openai-harmony, which are slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss.api.fields import invalid
from mlxoss.api.items_page import PageQuery, parse_page_query
from mlxoss.api.responses_compact import to_compacted_items
from mlxoss.api.responses_object import (
    ResponseHeader,
    to_compaction,
    to_deleted_response,
    to_input_tokens,
    to_item_list,
)
from mlxoss.api.responses_prompt import to_compaction_turn, to_conversation
from mlxoss.api.responses_request import (
    PromptFields,
    parse_compact_request,
    parse_input_tokens_request,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import Channel, ContentDelta, MessageStart
from mlxoss.harmony.prompt import render_prompt
from mlxoss.server.background import BackgroundRun, follow
from mlxoss.server.event_answer import send_events
from mlxoss.server.http import json_response, new_id, read_json_object
from mlxoss.server.request_log import RequestLog
from mlxoss.server.responses_context import Origin, load_context, load_input
from mlxoss.server.responses_kept import read_jsons, to_object
from mlxoss.server.responses_run import (
    Prompted,
    ResponseRun,
    load_prompt,
    make_seal,
    start_run,
    to_contents,
)
from mlxoss.server.services import Services
from mlxoss.server.turn import Turn, start_turn
from mlxoss.server.turn_end import close_turn
from mlxoss.store.values import Order, Page, PageRequest


async def create(http: Request, services: Services) -> HTTPResponse | None:
    """``POST /v1/responses``: in a stream, as a whole, or in the background."""
    with RequestLog(http, services) as log, services.turn_in_progress():
        run = await start_run(http, services, await read_json_object(http), log)
        if run.request.background:
            return await _in_background(run)
        try:
            if not run.request.stream:
                return json_response(await run.fold())
            await send_events(http, services, run.events())
            return None
        finally:
            run.close()


async def _in_background(run: ResponseRun) -> HTTPResponse | None:
    background = BackgroundRun(run)
    queued = background.snapshot()
    await background.start()
    if run.request.stream:
        await send_events(run.http, run.services, follow(run.services, run.id, -1))
        return None
    return json_response(queued)


async def retrieve(http: Request, services: Services, response_id: str) -> HTTPResponse | None:
    """``GET /v1/responses/{id}``; with ``stream=true`` a background response's events."""
    after = _starting_after(http)
    if _flag(http, "stream"):
        batches = await _replay(services, response_id, after)
        await send_events(http, services, batches)
        return None
    running = services.background.get(response_id)
    if running is not None:
        return json_response(running.snapshot())
    return json_response(to_object(await services.state.store.get(response_id)))


async def _replay(
    services: Services, response_id: str, after: int
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    response = await services.state.store.get(response_id)
    if not response.background:
        raise invalid("stream", "only background responses can be streamed again")
    return follow(services, response_id, after)


def _query(http: Request) -> dict[str, str]:
    """The query's values by name, empty ones too: they were sent."""
    args = http.get_args(keep_blank_values=True)
    return {name: str(args.get(name)) for name in args}


def _flag(http: Request, name: str) -> bool:
    text = _query(http).get(name, "false")
    if text.lower() not in ("true", "false"):
        raise invalid(name, "it should be 'true' or 'false'")
    return text.lower() == "true"


def _starting_after(http: Request) -> int:
    text = _query(http).get("starting_after", "-1")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise invalid("starting_after", "it should be the sequence number of an event")
    return int(text[:18])


async def delete(http: Request, services: Services, response_id: str) -> HTTPResponse:
    """``DELETE /v1/responses/{id}``. One that runs is cancelled first."""
    running = services.background.get(response_id)
    if running is not None:
        await running.cancel()
    await services.state.store.delete(response_id)
    services.background.pop(response_id, None)
    return json_response(to_deleted_response(response_id))


async def cancel(http: Request, services: Services, response_id: str) -> HTTPResponse:
    """``POST /v1/responses/{id}/cancel``: background only. One that has ended stays so."""
    running = services.background.get(response_id)
    if running is not None:
        await running.cancel()
    response = await services.state.store.get(response_id)
    if not response.background:
        raise invalid("response_id", "only a response created with background=true is cancelled")
    unkept = services.background.get(response_id)
    return json_response(to_object(response) if unkept is None else unkept.snapshot())


async def list_input_items(http: Request, services: Services, response_id: str) -> HTTPResponse:
    """``GET /v1/responses/{id}/input_items``."""
    page = await services.state.store.input_items(response_id, read_page_request(http))
    return page_response(page)


def read_page_request(http: Request) -> PageRequest:
    """The page that a list's query asks for."""
    query: PageQuery = parse_page_query(_query(http))
    order = Order.ASC if query.is_ascending else Order.DESC
    return PageRequest(query.after, query.limit, order)


def page_response(page: Page) -> HTTPResponse:
    """A page of items."""
    return json_response(to_item_list(read_jsons(page.items), has_more=page.has_more))


async def count_input_tokens(http: Request, services: Services) -> HTTPResponse:
    """``POST /v1/responses/input_tokens``: the length of the prompt, to the token."""
    request = parse_input_tokens_request(await read_json_object(http))
    encoding = await services.encoding.get()
    prompted = await load_prompt(services, request, encoding)
    # On another thread: a long prompt takes a tenth of a second, and streams go on meanwhile.
    count = await asyncio.to_thread(_prompt_tokens, encoding, request, prompted)
    return json_response(to_input_tokens(count))


def _prompt_tokens(encoding: Encoding, request: PromptFields, prompted: Prompted) -> int:
    conversation = to_conversation(request, prompted.tools, prompted.contents)
    return len(render_prompt(encoding, conversation))


async def compact(http: Request, services: Services) -> HTTPResponse:
    """``POST /v1/responses/compact``: the model sums up the conversation."""
    with RequestLog(http, services) as log, services.turn_in_progress():
        request = parse_compact_request(await read_json_object(http))
        encoding = await services.encoding.get()
        store = services.state.store
        context = await load_context(store, Origin(request.previous_response_id), services.date)
        own = await load_input(store, request.input or [], context)
        contents = to_contents(services, encoding, context, own)
        turn_request = await asyncio.to_thread(to_compaction_turn, request, contents)
        turn = await start_turn(services, encoding, turn_request, http.ctx.key)
        try:
            summary = await _final_text(turn, log)
            usage = turn.usage
        finally:
            close_turn(turn, services, encoding, log)
    items = to_compacted_items(
        (*context.items, *own.items), summary, seal=make_seal(services), make_id=new_id
    )
    header = ResponseHeader(new_id("resp_"), int(time.time()), services.model.name)
    return json_response(to_compaction(header, items, usage))


async def _final_text(turn: Turn, log: RequestLog) -> str:
    texts: list[str] = []
    is_final = False
    async for outputs in turn:
        log.note_tokens()
        for output in outputs:
            match output.event:
                case MessageStart() as start:
                    is_final = start.channel is Channel.FINAL and start.recipient is None
                case ContentDelta(text) if is_final:
                    texts.append(text)
    return "".join(texts)
