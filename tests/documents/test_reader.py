"""What is read is remembered, so that a history gives the same text each time."""

from __future__ import annotations

import asyncio
import base64
from http.server import BaseHTTPRequestHandler

import pytest

from mlxoss.api.history.files import FileSource
from mlxoss.documents.reader import FileReader
from mlxoss.errors import FileUnreadable
from tests.support.clock import Clock
from tests.support.internet import Internet, give

URL = "http://files.example/a.txt"
BY_URL = FileSource("file_url", "a.txt", url=URL)
MOST = 100_000


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    internet = Internet()
    internet.install(monkeypatch)
    return internet


def shown(words: str) -> str:
    return f"[file a.txt]\n{words}\n[end of a.txt]"


def test_an_address_is_asked_anew_for_a_new_message_alone(internet: Internet) -> None:
    versions = iter("1234")

    def answer(request: BaseHTTPRequestHandler) -> None:
        give(next(versions).encode())(request)

    async def scenario() -> None:
        clock = Clock()
        reader = FileReader(may_fetch=True, clock=clock)
        assert await reader.read(BY_URL, MOST, is_new=True) == shown("1")
        assert await reader.read(BY_URL, MOST, is_new=True) == shown("1")
        clock.now += 700
        assert await reader.read(BY_URL, MOST, is_new=False) == shown("1")
        assert await reader.read(BY_URL, MOST, is_new=True) == shown("2")
        assert await reader.read(BY_URL, MOST, is_new=False) == shown("2")

    with internet.site("files.example", answer) as seen:
        asyncio.run(scenario())
    assert len(seen) == 2


def test_one_that_has_gone_is_what_it_was(internet: Internet) -> None:
    async def scenario() -> None:
        clock = Clock()
        reader = FileReader(may_fetch=True, clock=clock)
        with internet.site("files.example", give(b"1")):
            await reader.read(BY_URL, MOST, is_new=True)
        clock.now += 700
        assert await reader.read(BY_URL, MOST, is_new=True) == shown("1")

    asyncio.run(scenario())


def test_one_that_failed_is_tried_again_for_a_new_message_alone(internet: Internet) -> None:
    async def scenario() -> None:
        reader = FileReader(may_fetch=True)
        internet.names["files.example"] = ["10.0.0.1"]
        with pytest.raises(FileUnreadable, match=r"file_url.*not public"):
            await reader.read(BY_URL, MOST, is_new=True)
        with internet.site("files.example", give(b"1")):
            with pytest.raises(FileUnreadable, match="not public"):
                await reader.read(BY_URL, MOST, is_new=False)
            assert await reader.read(BY_URL, MOST, is_new=True) == shown("1")
            assert await reader.read(BY_URL, MOST, is_new=False) == shown("1")

    asyncio.run(scenario())


def test_what_is_remembered_is_bounded(internet: Internet) -> None:
    async def scenario() -> None:
        reader = FileReader(may_fetch=True, remembered_chars=5_000)
        await reader.read(BY_URL, MOST, is_new=True)
        for number in range(10):
            data = base64.b64encode(f"{number}".encode() * 1_000).decode()
            await reader.read(FileSource("file_data", "a.txt", content=data), MOST, is_new=True)
        await reader.read(BY_URL, MOST, is_new=True)

    with internet.site("files.example", give(b"1")) as seen:
        asyncio.run(scenario())
    assert len(seen) == 2


def test_the_same_bytes_under_another_name_are_another_text() -> None:
    async def scenario() -> None:
        reader = FileReader(may_fetch=False)
        for name in ("a.txt", "b.txt"):
            source = FileSource("file_data", name, content="eA==")
            assert f"[file {name}]" in await reader.read(source, MOST, is_new=True)

    asyncio.run(scenario())


def test_nobody_is_asked_unless_that_is_allowed(internet: Internet) -> None:
    async def scenario() -> None:
        with pytest.raises(FileUnreadable, match="allow_fetch is off"):
            await FileReader(may_fetch=False).read(BY_URL, MOST, is_new=True)

    with internet.site("files.example", give(b"1")) as seen:
        asyncio.run(scenario())
    assert (seen, internet.asked) == ([], [])
