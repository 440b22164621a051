"""Rank 0's side of the group: it starts the others, talks to them, and sees who is lost.

Theory of operation. There are two ways between the ranks. MLX's group carries the sums inside a
forward pass; a rank that waits in one can be told nothing, and waits for ever if another does not
come. Beside it each rank has a connection to rank 0 for messages. Everything here is there so that
no rank enters a sum that the others will not enter, and so that it is noticed where one did.

The start, in this order:

1. Listen, then start the other ranks' processes, each with the address and a secret. A rank that
   connects proves that it has the secret.
2. Wait until each has said ``Ready``, with its versions and where it can be reached; compare the
   versions.
3. Tell all of them the addresses (``Join``), and only then form MLX's group: that blocks until
   the last one is there.

From there on the engine's thread tells the others each step before it begins it here
(``mlxoss.engine.ranks.leading``). All ranks thus do the same in the same order.

What is lost is seen from outside the engine's thread, which may be stuck:

- by each connection's own thread: it ended, or the rank says that it failed;
- by ``_watch``: a process ended, a rank did not come or was silent for too long, or what runs in
  ``working`` takes longer than the timeout. Both sides say every fifth of the timeout that they
  are there (``_beat``).

The first reason counts, and ``on_lost`` is called once: the engine cannot go on then, the process
exits with 1, and the service starts all of it anew. Nothing is repaired, since a sum that was
begun cannot be taken back.

``stop`` says goodbye on a thread of its own: a rank that is stopped takes nothing, and whoever
sends to it waits for that. Then it ends the processes, whatever they do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlxoss.engine.counters import read_mlx_memory
from mlxoss.engine.ranks.channel import RankChannel
from mlxoss.engine.ranks.listener import RankListener
from mlxoss.engine.ranks.messages import Beat, Bye, Failed, Join, Loaded, Message, Ready
from mlxoss.engine.ranks.processes import RankProcess, end_all
from mlxoss.engine.ranks.ring import free_addresses, join, read_versions
from mlxoss.engine.ranks.values import Plan, RanksStatus, RankStatus, Seat
from mlxoss.errors import MlxossError, ModelError, RanksLost
from mlxoss.hosts import Host

if TYPE_CHECKING:
    from mlxoss.engine.mlx.model import Group

logger = logging.getLogger(__name__)

START_S = 60.0
"""How long a rank may take until it answers: ssh, and Python's imports."""

BEATS = 5
"""How often within the timeout each side says that it is there."""

_GOODBYE_S = 2.0
_WHY_S = 2.0


@dataclass(eq=False, slots=True)
class _Peer:
    """Another rank as rank 0 knows it."""

    rank: int
    host: Host
    process: RankProcess
    heard_at: float
    channel: RankChannel | None = None
    ready: Ready | None = None
    memory: dict[str, int] = field(default_factory=dict)
    replies: queue.SimpleQueue[Loaded | Failed] = field(default_factory=queue.SimpleQueue)

    @property
    def name(self) -> str:
        return f"rank {self.rank} on {self.host.ssh}"


class RankGroup:
    """The group with this process as rank 0. ``start``, ``tell`` and ``ask`` are the engine's
    thread's; the others may be called on any.

    Whatever keeps it from going on is kept as ``lost``, told to ``on_lost`` (on any thread, once),
    and raised as ``RanksLost`` from there on: the group does not come back.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.size = len(plan.hosts)
        self.group: Group = None
        self.on_lost: Callable[[RanksLost], None] = lambda _: None
        self.communication_s: float | None = None
        self._peers: list[_Peer] = []
        self._lost: RanksLost | None = None
        self._change = threading.Condition()
        self._is_stopping = False
        self._busy_since: float | None = None
        self._keeps_awake = False
        self._has_news = threading.Event()

    @property
    def others(self) -> Sequence[RankChannel]:
        """The connections to the other ranks, in order."""
        return [peer.channel for peer in self._peers if peer.channel is not None]

    def start(self) -> None:
        """Start the other ranks and form MLX's group with them; does nothing the second time."""
        if self.group is not None:
            return
        secret = secrets.token_bytes(32)
        with RankListener(self.plan.hosts[0].ips[0], secret, self._admit) as door:
            for rank, host in enumerate(self.plan.hosts[1:], 1):
                process = RankProcess(host, self._seat(rank, door.address, secret))
                self._peers.append(_Peer(rank, host, process, time.monotonic()))
            door.open()
            for target in (self._watch, self._beat):
                threading.Thread(target=target, name=target.__name__, daemon=True).start()
            self._wait(lambda: all(peer.ready is not None for peer in self._peers))
        addresses = (free_addresses(self.plan.hosts[0].ips), *self._addresses())
        self.tell(Join(addresses))
        rdma = [host.rdma for host in self.plan.hosts]
        with self.working():
            timeout_s = self.plan.timeout_s
            logger.info("the ranks find each other, or this ends after %.0f s", timeout_s)
            self.group = join(self.plan.backend, 0, addresses, rdma, timeout_s)

    def tell(self, message: Message) -> None:
        """Send ``message`` to all."""
        for peer in self._peers:
            self._check()
            assert peer.channel is not None
            try:
                peer.channel.send(message)
            except OSError as error:
                raise self.explain(error) from error

    def ask(self) -> list[Loaded]:
        """Wait for each rank's ``Loaded``. Raises ``ModelError`` where one cannot load."""
        replies = []
        for peer in self._peers:
            reply = self._reply(peer)
            if isinstance(reply, Failed):
                raise ModelError(f"{peer.name[0].upper()}{peer.name[1:]}: {reply.why}")
            replies.append(reply)
        return replies

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """What runs inside needs every rank and takes no longer than the timeout."""
        self._busy_since = time.monotonic()
        try:
            self._check()
            yield
        except MlxossError:
            raise
        except Exception as error:
            raise self.explain(error) from error
        finally:
            self._busy_since = None

    def explain(self, error: Exception) -> RanksLost:
        """Why the group is lost, given what came of it here; it is lost from here on."""
        with self._change:
            self._change.wait_for(lambda: self._lost is not None, _WHY_S)
        self.lose(f"the ranks lost each other: {error}")
        return RanksLost(str(self._lost or "The ranks are told to end."))

    def lose(self, why: str) -> None:
        """The group cannot go on; the first reason counts."""
        with self._change:
            if self._lost is not None or self._is_stopping:
                return
            self._lost = RanksLost(f"{why[0].upper()}{why[1:]}")
            self._change.notify_all()
        logger.critical("%s", self._lost)
        self.on_lost(self._lost)

    @property
    def is_lost(self) -> bool:
        """Whether it cannot go on."""
        return self._lost is not None

    def keep_awake(self, is_wanted: bool) -> None:
        """Have the other machines' idle sleep held off, or no more. Returns at once."""
        if is_wanted is not self._keeps_awake:
            self._keeps_awake = is_wanted
            self._has_news.set()  # sent by ``_beat``: a rank that is stopped takes nothing

    def stop(self) -> None:
        """End all other ranks, whatever they do. Takes seconds at most."""
        with self._change:
            self._is_stopping = True
        if not self.is_lost:
            # One that is stopped takes nothing, and whoever sends to it waits for that.
            threading.Thread(target=self._say_goodbye, name="goodbye", daemon=True).start()
        end_all([peer.process for peer in self._peers], 0.0 if self.is_lost else _GOODBYE_S)

    def status(self) -> RanksStatus:
        """A reading."""
        now, host = time.monotonic(), self.plan.hosts[0]
        own = RankStatus(0, host.ssh, os.getpid(), read_mlx_memory(), 0.0)
        others = [
            RankStatus(
                peer.rank,
                peer.host.ssh,
                peer.process.pid,
                peer.memory,
                round(now - peer.heard_at, 3),
            )
            for peer in self._peers
        ]
        return RanksStatus(self.plan.backend, self.communication_s, (own, *others))

    def _seat(self, rank: int, leader: tuple[str, int], secret: bytes) -> Seat:
        plan = self.plan
        return Seat(
            rank=rank,
            size=self.size,
            ips=plan.hosts[rank].ips,
            backend=plan.backend,
            rdma=tuple(host.rdma for host in plan.hosts),
            leader=leader,
            secret=secret.hex(),
            timeout_s=plan.timeout_s,
            envs=plan.envs,
            model=plan.model,
            memory_limit=plan.memory_limit,
            prefix_bytes=plan.prefix_bytes,
            wired=plan.wired,
            command_buffers=plan.command_buffers,
        )

    def _addresses(self) -> list[tuple[str, ...]]:
        versions = read_versions()
        found = []
        for peer in self._peers:
            assert peer.ready is not None
            if peer.ready.versions != versions:
                raise ModelError(
                    f"{peer.name[0].upper()}{peer.name[1:]} has {_show(peer.ready.versions)}, and "
                    f"rank 0 {_show(versions)}: install the same on both, then `mlxoss restart`."
                )
            found.append(peer.ready.addresses)
        return found

    def _check(self) -> None:
        if self._lost is not None:
            raise RanksLost(str(self._lost))

    def _reply(self, peer: _Peer) -> Loaded | Failed:
        self._wait(lambda: not peer.replies.empty())
        return peer.replies.get()

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._change:
            self._change.wait_for(lambda: condition() or self._lost is not None)
        self._check()

    # Threads of our own.

    def _say_goodbye(self) -> None:
        for channel in self.others:
            with contextlib.suppress(OSError):
                channel.send(Bye())

    def _admit(self, rank: int, channel: RankChannel) -> bool:
        """A rank has come; it is listened to on the calling thread from here on."""
        peer = next((p for p in self._peers if p.rank == rank and p.channel is None), None)
        if peer is None:
            return False
        peer.channel = channel
        try:
            while True:
                self._hear(peer, channel.receive())
        except OSError:
            ended = peer.process.wait(_WHY_S)
            self.lose(f"{peer.name} ended{f' ({ended})' if ended else ''}")
        return True

    def _hear(self, peer: _Peer, message: Message) -> None:
        peer.heard_at = time.monotonic()
        match message:
            case Beat(memory):
                peer.memory = dict(memory)
            case Failed(why, is_model=False):
                self.lose(f"{peer.name}: {why}")
            case Ready(pid):
                peer.process.pid = pid
                peer.ready = message
            case Loaded() | Failed():
                peer.replies.put(message)
        with self._change:
            self._change.notify_all()

    def _beat(self) -> None:
        while not self.is_lost and not self._is_stopping:
            for channel in self.others:
                with contextlib.suppress(OSError):  # it is noticed where it is read
                    channel.send(Beat(keep_awake=self._keeps_awake))
            self._has_news.wait(self.plan.timeout_s / BEATS)
            self._has_news.clear()

    def _watch(self) -> None:
        timeout_s = self.plan.timeout_s
        while not self.is_lost and not self._is_stopping:
            time.sleep(min(0.1, timeout_s / BEATS))
            now, busy_since = time.monotonic(), self._busy_since
            for peer in self._peers:
                if (ended := peer.process.ended) is not None:
                    self.lose(f"{peer.name} ended ({ended})")
                elif peer.channel is None and now - peer.heard_at > START_S:
                    self.lose(f"{peer.name} did not come within {START_S:.0f} s")
                elif peer.channel is not None and now - peer.heard_at > timeout_s:
                    self.lose(f"{peer.name} stopped answering {timeout_s:.0f} s ago")
            if busy_since is not None and now - busy_since > timeout_s:
                self.lose(f"the ranks are there, but a step takes longer than {timeout_s:.0f} s")


def _show(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
