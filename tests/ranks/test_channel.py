"""The connection between ranks: who may come in, what it carries, and how a rank ends."""

from __future__ import annotations

import contextlib
import queue
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxoss.engine.ranks.channel import MOST_BYTES, RankChannel, greet
from mlxoss.engine.ranks.listener import MOST_AT_ONCE, RankListener
from mlxoss.engine.ranks.messages import (
    Beat,
    Begin,
    Bye,
    Failed,
    InsertSequence,
    Join,
    Loaded,
    Message,
    PauseSequence,
    Ready,
    RunStep,
    WarmPrompt,
    parse_message,
    to_bytes,
)
from mlxoss.engine.ranks.processes import RankProcess
from mlxoss.engine.ranks.values import Seat, parse_seat
from tests.support.cli.runner import mlxoss
from tests.support.ranks.shared import HERE

SECRET = secrets.token_bytes(32)

MESSAGES: list[Message] = [
    Beat({"active_bytes": 5}),
    Join((("10.0.0.1:5", "10.0.1.1:6"), ("10.0.0.2:7", "10.0.1.2:8"))),
    Begin(8, 1 << 30),
    InsertSequence(3, (5, 6, 7), 9, (200002,), (2,), 1, (4, 4096), "key"),
    PauseSequence(3, (4, 4096)),
    RunStep(32, ((1, 2), (3, 4)), (0, 0)),
    RunStep(32, (), (0, 0)),
    WarmPrompt(None, (1, 2)),
    WarmPrompt(tuple(range(200_000, 200_050)), (1, 2)),
    Ready(77, ("127.0.0.1:9",), {"mlx": "0.32.4"}),
    Loaded(1, 2, "ab"),
    Failed('it "broke"\n', is_model=True),
    Bye(),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_the_same_on_the_other_side(message: Message) -> None:
    assert parse_message(to_bytes(message)) == message


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'["Nobody"]', b'["Bye", 1]', b"[[]]", b"\xff", b"[" * 100_000]
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ValueError, match="no message"):
        parse_message(data)


class Hall:
    """Who has come in through a door."""

    def __init__(self) -> None:
        self.came: queue.SimpleQueue[tuple[int, RankChannel]] = queue.SimpleQueue()
        self.heard: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def admit(self, rank: int, channel: RankChannel) -> bool:
        if rank != 1:
            return False
        self.came.put((rank, channel))
        try:
            while True:
                self.heard.put(channel.receive())
        except OSError:
            self.heard.put(None)
        return True

    def next(self, kind: type[Any]) -> Any:
        while not isinstance(message := self.heard.get(timeout=120), kind):
            assert message is not None
        return message


@contextlib.contextmanager
def open_door(secret: bytes = SECRET) -> Iterator[tuple[RankListener, Hall]]:
    hall = Hall()
    with RankListener("127.0.0.1", secret, hall.admit) as door:
        door.open()
        yield door, hall


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side closed the connection, once what it said is read."""
    sock.settimeout(120)
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def test_who_knows_the_secret_comes_in_and_is_heard() -> None:
    with open_door() as (door, hall), socket.create_connection(door.address) as sock:
        greet(sock, SECRET, 1)
        RankChannel(sock).send(Ready(1, (), {}))
        assert isinstance(hall.heard.get(timeout=120), Ready)
        # It stays though the door is closed.
    assert hall.heard.get(timeout=120) is None


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 3) + b"[1]",
        struct.pack(">I", 27) + b'[1, "00", "not even hex!!"]',
        struct.pack(">I", 14) + b'["x", 1, null]',
        struct.pack(">I", 22) + b'[Infinity, "00", "aa"]',
        struct.pack(">I", MOST_BYTES),
        b"",
    ],
)
def test_strangers_are_turned_away(said: bytes) -> None:
    with open_door() as (door, hall), socket.create_connection(door.address) as sock:
        sock.sendall(said)
        with contextlib.suppress(OSError):  # it may be closed already
            sock.shutdown(socket.SHUT_WR)
        assert is_closed(sock)
        assert hall.came.empty()


def test_a_wrong_secret_is_noticed_on_both_sides() -> None:
    with open_door() as (door, hall):
        for secret, rank in ((b"wrong", 1), (SECRET, 2)):
            with socket.create_connection(door.address) as sock:
                with contextlib.suppress(OSError):
                    greet(sock, secret, rank)
                assert is_closed(sock)
        assert hall.came.empty()
    with (
        open_door(b"another") as (door, _),
        socket.create_connection(door.address) as sock,
        pytest.raises(ConnectionError),
    ):
        greet(sock, SECRET, 1)


def test_silent_strangers_hold_few_places_and_not_for_long() -> None:
    with open_door() as (door, hall):
        silent = [socket.create_connection(door.address) for _ in range(MOST_AT_ONCE + 5)]
        # Those beyond the places are closed at once, the others when their time is up.
        assert all(is_closed(sock) for sock in silent)
        for sock in silent:
            sock.close()
        with socket.create_connection(door.address) as sock:
            greet(sock, SECRET, 1)
            assert hall.came.get(timeout=120)[0] == 1


@contextlib.contextmanager
def worker(timeout_s: float = 30.0) -> Iterator[tuple[RankProcess, RankChannel, Hall]]:
    """A real rank whose rank 0 is this test."""
    with open_door() as (door, hall):
        process = RankProcess(HERE, make_seat(door.address, timeout_s))
        try:
            _, channel = hall.came.get(timeout=120)
            yield process, channel, hall
        finally:
            process.kill()


def make_seat(leader: tuple[str, int], timeout_s: float = 30.0, **changes: Any) -> Seat:
    fields: dict[str, Any] = {
        "rank": 1,
        "size": 2,
        "ips": ("127.0.0.1",),
        "backend": "ring",
        "rdma": ((), ()),
        "leader": leader,
        "secret": SECRET.hex(),
        "timeout_s": timeout_s,
        "envs": {},
        "model": None,
        "memory_limit": None,
        "prefix_bytes": None,
        "wired": "auto",
        "command_buffers": "auto",
    }
    return Seat(**(fields | changes))


def wait_for_end(process: RankProcess) -> str:
    deadline = time.monotonic() + 120
    while (ended := process.ended) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return ended


def test_a_rank_says_who_it_is_and_goes_when_told() -> None:
    with worker() as (process, channel, hall):
        ready = hall.next(Ready)
        assert ready.addresses[0].startswith("127.0.0.1:")
        assert set(ready.versions) == {"mlxoss", "mlx", "mlx-lm"}
        channel.send(Bye())
        assert wait_for_end(process).startswith("exit status 0")


@pytest.mark.parametrize("message", [RunStep(32, (), (0, 0)), Failed("not rank 0's to say")])
def test_a_rank_that_cannot_do_as_told_says_why_and_ends(message: Message) -> None:
    with worker() as (process, channel, hall):
        channel.send(message)
        assert hall.next(Failed).why
        assert wait_for_end(process).startswith("exit status 1")


def test_a_rank_whose_rank_0_is_gone_or_silent_ends() -> None:
    with worker() as (process, channel, hall):
        hall.next(Ready)
        channel.close()
        assert "rank 0 is gone" in wait_for_end(process)
    with worker(timeout_s=1.0) as (process, _, hall):
        hall.next(Ready)
        assert "rank 0 stopped answering" in wait_for_end(process)


def test_a_seat_is_read_from_one_line_and_nothing_else_starts_a_rank(tmp_path: Path) -> None:
    seat = make_seat(("127.0.0.1", 5), rdma=((("rdma_en2",), ()), ((), ("a", "b"))))
    assert parse_seat(seat.to_line()) == seat
    done = mlxoss(tmp_path, "rank", stdin=b"{}\n")
    assert done.returncode == 1
    assert "this is for mlxoss to run" in done.stderr
