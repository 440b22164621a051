"""Conversations: their items, and the responses that add to them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.errors import InvalidRequest, NotFound
from mlxoss.store.store import Store
from mlxoss.store.values import Order, Page, PageRequest, Status, StoredConversation
from tests.support.clock import Clock
from tests.support.store.samples import TODAY, assert_sound, item, opened, sample

EMPTY = StoredConversation("conv_1", 1_000_000, '{"topic":"x"}')
ALL = PageRequest(limit=100, order=Order.ASC)


async def ids(store: Store, conversation: str = "conv_1") -> list[str]:
    """The conversation's item ids, oldest first."""
    page = await store.conversation_items(conversation, ALL)
    return [item.id for item in page.items]


def test_a_conversation_is_kept_with_its_items(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(EMPTY, [item("m1"), item("m2")])
            await store.append_items("conv_1", [item("m3", "three")])
            assert await store.conversation("conv_1") == EMPTY
            assert await ids(store) == ["m1", "m2", "m3"]
            assert await store.conversation_item("conv_1", "m3") == item("m3", "three")
            changed = await store.set_metadata("conv_1", "{}")
            assert changed == replace(EMPTY, metadata_json="{}")
            assert await store.conversation("conv_1") == changed

    asyncio.run(scenario())


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
def test_pages_follow_one_another_without_a_gap(
    place: Path | None, order: Order, limit: int
) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            items = [item(f"m{n}") for n in range(7)]
            await store.create_conversation(EMPTY, items[:3])
            await store.append_items("conv_1", items[3:])
            seen: list[str] = []
            page = Page((), has_more=True)
            while page.has_more:
                request = PageRequest(seen[-1] if seen else None, limit, order)
                page = await store.conversation_items("conv_1", request)
                assert 0 < len(page.items) <= limit
                seen += [item.id for item in page.items]
            names = [item.id for item in items]
            assert seen == (names if order is Order.ASC else names[::-1])

    asyncio.run(scenario())


def test_an_item_id_is_in_a_conversation_once(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            with pytest.raises(InvalidRequest, match="'m1'"):
                await store.create_conversation(EMPTY, [item("m1"), item("m1")])
            await store.create_conversation(EMPTY, [item("m1")])
            with pytest.raises(InvalidRequest, match="'m1'"):
                await store.append_items("conv_1", [item("m2"), item("m1")])
            response = replace(sample("a", conversation="conv_1"), input_items=(item("m1"),))
            with pytest.raises(InvalidRequest, match="'m1'"):
                await store.put(response)
            assert await ids(store) == ["m1"]
            assert (await store.stats()).responses == 0
            await store.create_conversation(replace(EMPTY, id="conv_2"), [item("m1")])

    asyncio.run(scenario())


def test_what_is_not_there_is_not_found(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(EMPTY, [item("m1")])
            for operation in (
                store.conversation("conv_2"),
                store.set_metadata("conv_2", "{}"),
                store.delete_conversation("conv_2"),
                store.append_items("conv_2", []),
                store.conversation_items("conv_2", ALL),
                store.history("conv_2"),
                store.conversation_item("conv_1", "m2"),
                store.conversation_item("conv_2", "m1"),
                store.delete_item("conv_1", "m2"),
                store.delete_item("conv_2", "m1"),
            ):
                with pytest.raises(NotFound):
                    await operation

    asyncio.run(scenario())


def test_an_answered_response_joins_its_conversation(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(EMPTY, [item("m1")])
            await store.put(sample("a", conversation="conv_1"))
            await store.put(sample("b", conversation="conv_1", status=Status.FAILED))
            await store.put(sample("c", conversation="conv_1", status=Status.INCOMPLETE))
            assert await ids(store) == ["m1", "msg_a", "rs_a", "fc_a", "msg_c", "rs_c", "fc_c"]
            history = await store.history("conv_1")
            assert history.turns == sample("a").turns + sample("c").turns
            assert (await store.conversation("conv_1")).date == TODAY
            assert await store.get("resp_a") == sample("a", conversation="conv_1")

    asyncio.run(scenario())


def test_a_background_response_joins_when_it_ends(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(EMPTY)
            running = sample("a", conversation="conv_1", status=Status.QUEUED)
            await store.put(running)
            await store.update(replace(running, status=Status.IN_PROGRESS))
            assert await ids(store) == []
            await store.append_items("conv_1", [item("m1")])
            await store.update(sample("a", conversation="conv_1"))
            assert await ids(store) == ["m1", "msg_a", "rs_a", "fc_a"]

    asyncio.run(scenario())


def test_the_date_is_the_first_responses(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(EMPTY)
            await store.put(sample("a", conversation="conv_1"))
            later = sample("b", conversation="conv_1")
            await store.put(replace(later, date=TODAY.replace(day=3)))
            assert (await store.conversation("conv_1")).date == TODAY

    asyncio.run(scenario())


def test_conversation_and_response_outlive_each_other(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            for name in ("conv_1", "conv_2"):
                await store.create_conversation(replace(EMPTY, id=name))
            await store.put(sample("a", conversation="conv_1"))
            await store.put(sample("b", conversation="conv_2"))
            await store.delete("resp_a")
            assert await ids(store) == ["msg_a", "rs_a", "fc_a"]
            assert (await store.history("conv_1")).turns == sample("a").turns
            assert set(await store.turns_of_calls(["call_a"])) == {"call_a"}
            await store.delete_conversation("conv_2")
            assert await store.get("resp_b") == sample("b", conversation="conv_2")
            await store.delete_conversation("conv_1")
            await store.delete("resp_b")
            assert await store.turns_of_calls(["call_a", "call_b"]) == {}

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_a_response_is_kept_though_its_conversation_went_meanwhile(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a", conversation="conv_1"))
            assert await store.get("resp_a") == sample("a", conversation="conv_1")

    asyncio.run(scenario())


@pytest.mark.parametrize("response_too", [False, True])
def test_a_turn_with_a_deleted_item_is_given_no_more(
    place: Path | None, response_too: bool
) -> None:
    """Its token ids would bring the item back, whether or not the response still holds it."""

    async def scenario() -> None:
        async with opened(place) as store:
            await store.create_conversation(EMPTY)
            await store.put(sample("a", conversation="conv_1"))
            await store.put(sample("b", conversation="conv_1"))
            if response_too:
                await store.delete("resp_a")
            assert (await store.delete_item("conv_1", "rs_a")).id == "conv_1"
            assert await ids(store) == ["msg_a", "fc_a", "msg_b", "rs_b", "fc_b"]
            assert (await store.history("conv_1")).turns == sample("b").turns
            if response_too:
                assert await store.turns_of_calls(["call_a"]) == {}
            else:
                assert await store.get("resp_a") == sample("a", conversation="conv_1")
            for name in ("fc_a", "msg_a"):
                await store.delete_item("conv_1", name)

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_conversations_have_no_age_limit(place: Path | None) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(place, clock=clock) as store:
            await store.create_conversation(EMPTY, [item("m1")])
            clock.now += 31 * 24 * 3600
            await store.sweep()
            assert await ids(store) == ["m1"]

    asyncio.run(scenario())
