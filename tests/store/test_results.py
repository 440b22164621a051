"""What calls that the server ran answered, beside their turns."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.errors import StoreError
from mlxoss.store.values import StoredConversation, StoredResponse, StoredResult, StoredTurn
from tests.support.store.samples import assert_sound, item, opened, sample

RESULTS = (
    StoredResult("ci_1", "python", "42\n", "analysis"),
    StoredResult("ws_1", "browser.search", "L0: Grüße \U0001f600\0 \ud800", "commentary"),
    StoredResult("mcp_1", "docs__ask", ""),
)
FIRST = StoredTurn((1, 2, 200_012), ("ci_1", "ws_1", "mcp_1"), ("ci_1", "ws_1", "mcp_1"), RESULTS)
SECOND = StoredTurn((3, 200_012), ("ci_2",), ("ci_2",), (replace(RESULTS[0], call_id="ci_2"),))


def worked(
    name: str, previous: str | None = None, conversation: str | None = None
) -> StoredResponse:
    """A response of two rounds; the items of ``b`` are not those of ``a``."""
    plain = sample(name, previous, conversation)
    outputs = tuple(item(item_id) for turn in (FIRST, SECOND) for item_id in turn.item_ids)
    return replace(plain, output_items=outputs, turns=(FIRST, SECOND))


def test_they_come_back_with_the_response_the_chain_and_its_items(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(worked("a"))
            await store.put(sample("b", "a"))
            assert await store.get("resp_a") == worked("a")
            first, second = await store.chain("resp_b")
            assert first.turns == (FIRST, SECOND)
            assert second.turns == sample("b", "a").turns
            found = await store.find_items(["ci_1", "ws_1", "mcp_1"])
            assert found.turns == (FIRST,)
            assert await store.turns_of_calls(["ci_2"]) == {"ci_2": SECOND}

    asyncio.run(scenario())


def test_they_join_the_conversation_and_are_remembered_without_one(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(StoredConversation("conv_a", 1, "{}"))
            await store.put(worked("a", conversation="conv_a"))
            await store.delete("resp_a")
            assert (await store.history("conv_a")).turns == (FIRST, SECOND)
            alone = replace(FIRST, item_ids=(), call_ids=("call_x",))
            await store.remember_turn(alone)
            assert await store.turns_of_calls(["call_x"]) == {"call_x": alone}

    asyncio.run(scenario())


def test_they_go_with_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await store.put(worked("a"))
            await store.put(worked("a2", conversation=None))
            await store.delete("resp_a")

    asyncio.run(scenario())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (4,)
    assert_sound(path)


def test_a_damaged_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def put() -> None:
        async with opened(path) as store:
            await store.put(worked("a"))

    async def get() -> None:
        async with opened(path) as store:
            with pytest.raises(StoreError, match="damaged"):
                await store.get("resp_a")

    asyncio.run(put())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE results SET text = X'00'")
        connection.commit()
    asyncio.run(get())
