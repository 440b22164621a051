"""A rank other than 0: told what to compute, it computes it, and ends when rank 0 does."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from typing import NoReturn

from mlxoss.awake import Awake, find_caffeinate
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.command_buffers import announce_here
from mlxoss.engine.counters import read_mlx_memory
from mlxoss.engine.ranks.channel import RankChannel, greet
from mlxoss.engine.ranks.following import Divergence, Following
from mlxoss.engine.ranks.group import BEATS
from mlxoss.engine.ranks.messages import Beat, Bye, Failed, Message, Ready
from mlxoss.engine.ranks.ring import free_addresses, read_versions
from mlxoss.engine.ranks.values import Seat, parse_seat
from mlxoss.errors import MlxossError, ModelError

logger = logging.getLogger(__name__)

_MOST_SEAT_BYTES = 1 << 16
_CONNECT_S = 10.0
_OTHERS_S = 1.0
"""How long rank 0 is given to see for itself who is gone, before it is told what that did here."""


def run_rank() -> NoReturn:
    """Be the rank that a line on standard input describes; never returns.

    Exit code 0 when rank 0 says so, 1 for anything else. Raises ``MlxossError`` without a line.
    """
    try:
        seat = parse_seat(sys.stdin.buffer.readline(_MOST_SEAT_BYTES))
    except ValueError as error:
        raise MlxossError(str(error)) from None
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    # Rank 0 hears these and says what becomes of it.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.environ.update(seat.envs)
    Worker(seat).run()


class Worker:
    """The process of one rank."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._heard_at = time.monotonic()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._awake = Awake(find_caffeinate(sys.platform, os.environ))
        self._channel = self._connect()

    def run(self) -> NoReturn:
        """Do as rank 0 says until it says ``Bye``, or is gone, or something fails here."""
        for target in (self._listen, self._beat, self._watch):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()
        try:
            addresses = free_addresses(self._seat.ips)
            _announce_buffers(self._seat)
            # Takes a while, and whoever is not there at once is tried again only seconds later.
            importlib.import_module("mlx.core")
            self._channel.send(Ready(os.getpid(), addresses, read_versions()))
            self._follow(Following(self._seat))
        except OSError as error:
            self._fail(str(error))
        except Divergence as error:
            self._fail(str(error))
        except Exception as error:
            logger.exception("this rank cannot go on")
            time.sleep(_OTHERS_S)
            self._fail(f"{type(error).__name__}: {error}")
        leave(0)

    def _follow(self, following: Following) -> None:
        while not isinstance(message := self._messages.get(), Bye):
            if (reply := following.take(message)) is not None:
                self._channel.send(Beat(read_mlx_memory()))
                self._channel.send(reply)

    def _connect(self) -> RankChannel:
        try:
            sock = socket.create_connection(self._seat.leader, timeout=_CONNECT_S)
            greet(sock, bytes.fromhex(self._seat.secret), self._seat.rank)
            sock.settimeout(None)
        except OSError as error:
            host, port = self._seat.leader
            logger.error("rank 0 cannot be reached at %s port %d: %s", host, port, error)
            leave(1)
        return RankChannel(sock)

    def _fail(self, why: str) -> NoReturn:
        with contextlib.suppress(OSError):
            self._channel.send(Failed(why))
        self._end(why)

    def _end(self, why: str) -> NoReturn:
        logger.error("%s", why)
        leave(1)

    # Threads.

    def _listen(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                self._heard_at = time.monotonic()
                if isinstance(message, Beat):
                    self._awake.want(message.keep_awake)
                else:
                    self._messages.put(message)
                if isinstance(message, Bye):
                    return
        except OSError as error:
            self._end(f"rank 0 is gone: {error}")

    def _beat(self) -> None:
        with contextlib.suppress(OSError):  # it is noticed where it is read
            while True:
                self._channel.send(Beat(read_mlx_memory()))
                time.sleep(self._seat.timeout_s / BEATS)

    def _watch(self) -> None:
        """Standard input ends with the process that started this one."""
        while True:
            readable, _, _ = select.select([sys.stdin], [], [], self._seat.timeout_s / BEATS)
            if readable and not os.read(sys.stdin.fileno(), 1):
                self._end("rank 0 is gone")
            if time.monotonic() - self._heard_at > self._seat.timeout_s:
                self._end(f"rank 0 stopped answering {self._seat.timeout_s:.0f} s ago")


def _announce_buffers(seat: Seat) -> None:
    """Tell MLX, before it is imported. That there is no such model is told when it is loaded."""
    try:
        weights_bytes = resolve_model(seat.model).weights_bytes
    except ModelError:
        return
    announce_here(seat.command_buffers, weights_bytes // seat.size)


def leave(code: int) -> NoReturn:
    """End the process whatever its threads wait for."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)
