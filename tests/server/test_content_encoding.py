"""Bodies that come compressed: decoded within the same bounds, or refused by their encoding."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from mlxoss.errors import InvalidRequest
from mlxoss.server.http.bodies import MAX_BODY_BYTES
from mlxoss.server.http.content_encoding import make_decoder
from tests.server.conftest import Serve
from tests.support.http import Answer, ask
from tests.support.server.harness import Server, chat_body
from tests.support.server.scripts import HELLO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

USER: Any = {"role": "user", "content": "Hello!"}


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "its old name": ("X-GZIP", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a head": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
    "beside identity": ("identity, gzip", gzip.compress),
    "two members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "two frames": ("zstd", lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:])),
}


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A body just within the bounds."""
    return chat_body(filling="a" * (MAX_BODY_BYTES - len(chat_body(filling=""))))


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


def send(server: Server, body: bytes, encoding: str, path: str = "/v1/chat/completions") -> Answer:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return ask(server, "POST", path, body, headers)


@pytest.mark.parametrize("case", ENCODERS)
def test_a_compressed_body_is_read(server: Server, case: str) -> None:
    encoding, encode = ENCODERS[case]
    assert send(server, encode(chat_body()), encoding).status == 200
    assert send(server, encode(chat_body(temperature=9)), encoding).error["param"] == "temperature"
    assert send(server, encode(b"no"), encoding).error["code"] == "invalid_json"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_every_endpoint_reads_them(server: Server, coding: str) -> None:
    encode = ENCODERS[coding][1]
    for path, fields in (
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/messages", {"messages": [USER], "max_tokens": 50}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/conversations", {}),
    ):
        body = json.dumps({"model": "m", **fields}).encode()
        assert send(server, encode(body), coding, path).status == 200, path


@pytest.mark.parametrize("case", ENCODERS)
def test_what_is_decoded_has_the_same_bounds(server: Server, bomb: bytes, case: str) -> None:
    encoding, encode = ENCODERS[case]
    assert send(server, encode(bomb), encoding).status == 200
    for more in (b" ", b" " * 100_000_000):
        answer = send(server, encode(bomb + more), encoding)
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert send(server, encode(chat_body()), encoding).status == 200


def test_other_encodings_are_named(server: Server) -> None:
    for encoding in ("br", "compress", "gzip, gzip", "zstd, br", "a" * 500):
        answer = send(server, b"anything", encoding)
        assert answer.status == 415
        assert answer.error["code"] == "unsupported_content_encoding"
        assert ascii(encoding)[3:50] in answer.error["message"]
        assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert send(server, b"anything", "br", "/v1/messages").json["type"] == "error"
    for encoding in ("identity", "", " , "):
        assert send(server, chat_body(), encoding).status == 200


@pytest.mark.parametrize("case", ENCODERS)
def test_what_is_not_of_its_encoding_is_a_400(server: Server, case: str) -> None:
    encoding, encode = ENCODERS[case]
    whole = encode(chat_body())
    for body in (chat_body(), whole[:-1], whole[:10], whole + b"more", b"\0" * 50):
        answer = send(server, body, encoding)
        assert (answer.status, answer.error["code"]) == (400, "invalid_content_encoding"), body
    assert send(server, b"", encoding).error["code"] == "invalid_json"


@pytest.mark.parametrize("case", ENCODERS)
def test_the_parts_may_be_cut_anywhere(case: str) -> None:
    encoding, encode = ENCODERS[case]
    body = chat_body()
    decoder = make_decoder(encoding)
    assert decoder is not None
    parts = [decoder.decode(bytes([byte]), MAX_BODY_BYTES) for byte in encode(body)]
    assert b"".join(parts) == body
    decoder.check_end()


def test_a_frame_may_not_ask_for_much_memory() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    frame = compressor.compress(chat_body()) + compressor.flush()
    decoder = make_decoder("zstd")
    assert decoder is not None
    with pytest.raises(InvalidRequest, match="not valid zstd"):
        decoder.decode(frame, MAX_BODY_BYTES)
