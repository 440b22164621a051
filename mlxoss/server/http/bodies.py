"""Bodies in, JSON out: what all routes have in common."""

from __future__ import annotations

import asyncio

from sanic import HTTPResponse, Request
from sanic.http import Http

from mlxoss.api.errors import HttpError, HttpRefusal
from mlxoss.api.json_body import parse_json_object
from mlxoss.api.sse import encode_json
from mlxoss.core import JsonObject
from mlxoss.errors import InvalidRequest
from mlxoss.server.http.content_encoding import BodyDecoder, make_decoder

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_DRAINED_BYTES = 1024 * 1024 * 1024
"""A body that is too long is read to its end, up to here: a client that is still
sending would find the connection reset instead of the answer."""

_SHOWN_CHARS = 100


def json_response(
    value: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> HTTPResponse:
    """An answer in JSON."""
    return HTTPResponse(
        encode_json(value), status=status, headers=headers, content_type="application/json"
    )


async def read_json_object(request: Request) -> JsonObject:
    """The body of a streaming route as a JSON object.

    It may come compressed. Raises HttpRefusal (408, 413, 415) or InvalidRequest. Afterwards
    the connection is read again, so that a client that leaves is noticed: Sanic stops reading a
    connection once 64 KiB lie in its buffer and starts again only for the next request.
    """
    _check_content_type(request)
    decoder = make_decoder(",".join(request.headers.getall("content-encoding", [])))
    body = await _read_body(request, decoder)
    if isinstance(request.transport, asyncio.ReadTransport):
        request.transport.resume_reading()
    return parse_json_object(body)


async def refuse_body(request: Request) -> None:
    """Raise InvalidRequest if a streaming route's request has a body, which is not read."""
    stream = request.stream
    assert isinstance(stream, Http)
    if await stream.read():
        stop_reading(request, MAX_BODY_BYTES)
        raise InvalidRequest("This request takes no body.")


def stop_reading(request: Request, most_bytes: int) -> None:
    """Of a body that is refused read ``most_bytes`` at most, then close the connection.

    Reading all of it lets a client that is still sending see the answer.
    """
    if isinstance(request.stream, Http):
        request.stream.request_max_size = most_bytes


def _check_content_type(request: Request) -> None:
    sent = request.headers.getone("content-type", "application/json")
    kind = sent.split(";", 1)[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise HttpRefusal(
            HttpError(
                415,
                f"Unsupported content type {kind[:_SHOWN_CHARS]!a}: send the header "
                "'Content-Type: application/json'.",
                code="unsupported_media_type",
            )
        )


async def _read_body(request: Request, decoder: BodyDecoder | None) -> bytes:
    too_long = HttpRefusal(
        HttpError(
            413,
            f"The body of the request is longer than {MAX_BODY_BYTES} bytes.",
            code="request_too_large",
        )
    )
    stream = request.stream
    assert isinstance(stream, Http)
    if int(request.headers.getone("content-length", "0")) > MAX_BODY_BYTES:
        raise too_long
    body = bytearray()
    while (part := await stream.read()) is not None:
        # One byte more than there may be tells that it is too long.
        left = MAX_BODY_BYTES + 1 - len(body)
        body += part if decoder is None else decoder.decode(part, left)
        if len(body) > MAX_BODY_BYTES:
            raise too_long
    if decoder is not None:
        decoder.check_end()
    return bytes(body)
