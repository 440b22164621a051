"""Responses: whole in, whole out; chains; items by page and by id; turns by call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.errors import InvalidRequest, NotFound, StoreError
from mlxoss.store.store import Store
from mlxoss.store.values import Order, PageRequest, Status, StoredItem, StoredResponse, StoredTurn
from tests.support.store.samples import assert_sound, item, opened, sample


async def refused(operation: Awaitable[object]) -> NotFound:
    """The ``NotFound`` that awaiting ``operation`` raises."""
    with pytest.raises(NotFound) as error:
        await operation
    return error.value


def test_what_is_put_is_got_back_whole_also_by_a_later_process(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    plain = sample("plain", text="Grüße \U0001f600 \\u0000")
    bare = StoredResponse("resp_bare", 5, Status.FAILED, plain.date, "{}", stored=False)
    many = replace(
        sample("many"),
        input_items=tuple(item(f"in_{n}") for n in range(30)),
        output_items=tuple(item(f"out_{n}") for n in range(9)),
        turns=(
            StoredTurn((), ("out_0",)),
            StoredTurn((2**32 - 1, 0, 5), ("out_1", "out_2"), ("call_b", "call_a")),
            StoredTurn(tuple(range(50_000))),
        ),
    )

    async def write() -> None:
        async with opened(path) as store:
            for response in (plain, bare, many):
                await store.put(response)

    async def read() -> None:
        async with opened(path) as store:
            for response in (plain, bare, many):
                assert await store.get(response.id) == response

    asyncio.run(write())
    asyncio.run(read())
    assert_sound(path)


def test_an_id_is_put_once(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a", text="first"))
            with pytest.raises(StoreError):
                await store.put(sample("a", text="second"))
            assert await store.get("resp_a") == sample("a", text="first")

    asyncio.run(scenario())


def test_an_update_replaces_what_runs_and_the_first_ending_stays(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            assert not await store.update(sample("a"))
            running = sample("a", status=Status.QUEUED)
            await store.put(running)
            assert await store.update(replace(running, status=Status.IN_PROGRESS))
            assert (await store.get("resp_a")).status is Status.IN_PROGRESS
            ended = replace(sample("a"), background=True)
            assert await store.update(ended)
            assert await store.get("resp_a") == ended
            assert not await store.update(replace(ended, status=Status.CANCELLED))
            assert await store.get("resp_a") == ended
            assert set(await store.turns_of_calls(["call_a"])) == {"call_a"}

    asyncio.run(scenario())


def test_an_update_does_not_bring_a_deleted_response_back(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a", status=Status.IN_PROGRESS))
            await store.delete("resp_a")
            assert not await store.update(sample("a"))
            await refused(store.get("resp_a"))

    asyncio.run(scenario())


def test_a_deleted_response_is_gone_with_all_it_held(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
            await store.delete("resp_a")
            for operation in (
                store.get("resp_a"),
                store.delete("resp_a"),
                store.input_items("resp_a", PageRequest()),
                store.read_events("resp_a"),
                store.find_items(["msg_a"]),
            ):
                await refused(operation)
            assert await store.turns_of_calls(["call_a"]) == {}
            assert (await store.stats()).responses == 0

    asyncio.run(scenario())
    if place is not None:
        assert_sound(place)


def test_a_chain_is_read_from_its_first_response_on(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("x", "b"), ("y", None)):
                await store.put(sample(name, previous))
            for name, names in (("c", "abc"), ("x", "abx"), ("a", "a"), ("y", "y")):
                chain = await store.chain(f"resp_{name}")
                assert [link.response_id for link in chain] == [f"resp_{n}" for n in names]
                for link, n in zip(chain, names, strict=True):
                    whole = sample(n)
                    assert (link.status, link.date) == (whole.status, whole.date)
                    assert link.input_items == whole.input_items
                    assert link.output_items == whole.output_items
                    assert link.turns == whole.turns

    asyncio.run(scenario())


def test_a_chain_of_a_thousand_is_read(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            for n in range(1000):
                await store.put(sample(f"{n}", None if n == 0 else f"{n - 1}"))
            chain = await store.chain("resp_999")
            assert [link.turns[0].call_ids for link in chain] == [
                (f"call_{n}",) for n in range(1000)
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize("missing", ["a", "b", "c"])
def test_a_chain_with_a_missing_link_is_refused_by_its_name(
    place: Path | None, missing: str
) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            for name, previous in (("a", None), ("b", "a"), ("c", "b")):
                await store.put(sample(name, previous))
            await store.delete(f"resp_{missing}")
            error = await refused(store.chain("resp_c"))
            assert error.code == "previous_response_not_found"
            assert error.param == "previous_response_id"
            assert f"'resp_{missing}'" in str(error)
            for name in {"a", "b", "c"} - {missing}:
                assert (await store.get(f"resp_{name}")).id == f"resp_{name}"

    asyncio.run(scenario())


def test_links_that_go_round_end_in_a_refusal(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a", "b"))
            await store.put(sample("b", "a"))
            assert (await refused(store.chain("resp_a"))).code == "previous_response_not_found"

    asyncio.run(scenario())


PAGES = [
    # after, limit, order, the expected numbers, has_more
    (None, 20, Order.DESC, [4, 3, 2, 1, 0], False),
    (None, 20, Order.ASC, [0, 1, 2, 3, 4], False),
    (None, 5, Order.ASC, [0, 1, 2, 3, 4], False),
    (None, 4, Order.ASC, [0, 1, 2, 3], True),
    (None, 1, Order.DESC, [4], True),
    (0, 2, Order.ASC, [1, 2], True),
    (2, 2, Order.ASC, [3, 4], False),
    (3, 2, Order.DESC, [2, 1], True),
    (1, 2, Order.DESC, [0], False),
    (4, 2, Order.ASC, [], False),
    (0, 2, Order.DESC, [], False),
]


@pytest.mark.parametrize(("after", "limit", "order", "numbers", "has_more"), PAGES)
def test_input_items_come_in_pages(
    place: Path | None,
    after: int | None,
    limit: int,
    order: Order,
    numbers: list[int],
    has_more: bool,
) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            items = tuple(item(f"msg_{n}") for n in range(5))
            await store.put(replace(sample("a"), input_items=items))
            request = PageRequest(None if after is None else f"msg_{after}", limit, order)
            page = await store.input_items("resp_a", request)
            assert page.items == tuple(items[n] for n in numbers)
            assert page.has_more is has_more

    asyncio.run(scenario())


def test_a_page_after_an_item_of_something_else_is_refused(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
            await store.put(sample("b"))
            for after in ("msg_b", "rs_a", "msg_", ""):
                error = await refused(store.input_items("resp_a", PageRequest(after)))
                assert error.param == "after"

    asyncio.run(scenario())


def test_items_are_found_by_id_and_their_turn_only_with_all_of_them(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
            await store.put(sample("b"))
            found = await store.find_items(["msg_b", "rs_a", "fc_a", "rs_b"])
            assert found.items == (
                sample("b").input_items + sample("a").output_items + sample("b").output_items[:1]
            )
            assert found.turns == sample("a").turns
            assert "'nope'" in str(await refused(store.find_items(["rs_a", "nope"])))

    asyncio.run(scenario())


def test_an_item_sent_again_is_found_as_the_model_wrote_it(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
            again = (StoredItem("rs_a", "sent again"), StoredItem("msg_a", "newer"))
            await store.put(replace(sample("b"), input_items=again))
            found = await store.find_items(["rs_a", "msg_a"])
            assert found.items == (sample("a").output_items[0], StoredItem("msg_a", "newer"))

    asyncio.run(scenario())


def test_turns_are_found_by_each_of_their_calls(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
            chat = StoredTurn((1, 2, 200_012), call_ids=("call_x", "call_y"))
            await store.remember_turn(replace(chat, item_ids=("not", "kept")))
            found = await store.turns_of_calls(["call_y", "call_a", "unknown", "call_x"])
            assert found == {"call_x": chat, "call_y": chat, "call_a": sample("a").turns[0]}
            newer = StoredTurn((9,), call_ids=("call_x",))
            await store.remember_turn(newer)
            assert (await store.turns_of_calls(["call_x"])) == {"call_x": newer}

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["\ud800", "'; DROP TABLE responses; --", "", "\0", "x" * 100_000])
def test_no_id_that_a_client_makes_up_does_harm(place: Path | None, text: str) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
            page = PageRequest(after=text)
            for operation in (
                store.get(text),
                store.chain(text),
                store.delete(text),
                store.input_items("resp_a", page),
                store.find_items([text]),
                store.conversation(text),
            ):
                with pytest.raises((NotFound, InvalidRequest)):
                    await operation
            assert await store.get("resp_a") == sample("a")

    asyncio.run(scenario())


def test_readers_see_whole_responses_while_others_write(tmp_path: Path, rng: random.Random) -> None:
    """Eight readers look while one client puts and another deletes; nothing half is seen."""

    async def read(store: Store, done: asyncio.Event) -> int:
        seen = 0
        while not done.is_set():
            name = str(rng.randrange(300))
            try:
                response = await store.get(f"resp_{name}")
            except NotFound:
                continue
            assert response == sample(name, text=name * 500)
            seen += 1
        return seen

    async def scenario() -> None:
        async with opened(tmp_path / "responses.db") as store:
            done = asyncio.Event()
            readers = [asyncio.create_task(read(store, done)) for _ in range(8)]
            for n in range(300):
                await store.put(sample(f"{n}", text=f"{n}" * 500))
                if n % 3 == 2:
                    await store.delete(f"resp_{n - 2}")
            done.set()
            assert sum(await asyncio.gather(*readers)) > 0
            assert (await store.stats()).responses == 200

    asyncio.run(scenario())
    assert_sound(tmp_path / "responses.db")


def test_a_write_goes_through_though_its_caller_is_cancelled(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            puts = [asyncio.create_task(store.put(sample(f"{n}"))) for n in range(20)]
            await asyncio.sleep(0)
            for put in puts:
                put.cancel()
            await asyncio.gather(*puts, return_exceptions=True)
            for n in range(20):
                # A write waits behind those before it, so this one comes after them all.
                await store.remember_turn(StoredTurn((), call_ids=("call",)))
                assert (await store.get(f"resp_{n}")).id == f"resp_{n}"

    asyncio.run(scenario())


def test_a_closed_store_says_so(place: Path | None) -> None:
    async def scenario() -> None:
        async with opened(place) as store:
            await store.put(sample("a"))
        with pytest.raises(StoreError, match="closed"):
            await store.get("resp_a")
        with pytest.raises(StoreError, match="closed"):
            await store.put(sample("b"))

    asyncio.run(scenario())
