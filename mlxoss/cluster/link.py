"""How quick a link between two hosts is: one end listens, the other measures. Plain TCP.

The measuring end sends the secret and a newline, then ``p`` as often as it likes (each comes back),
then ``b`` and bytes for about a second; the listening end answers with their number in 8 bytes. So
the time that the last bytes spend under way counts too.
"""

from __future__ import annotations

import hmac
import socket
import statistics
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

PINGS = 100
PATIENCE_S = 5.0
"""How long to wait for the other end to connect, or to say something."""
COME_S = 20.0
"""How long to listen: the other end is only being started."""
_PING_S = 1.0
_BULK_S = 0.7
_CHUNK = bytes(1 << 18)
_COUNT = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class LinkSpeed:
    """The median time of a byte to and fro, and the rate of many in one direction."""

    round_trip_s: float
    bytes_per_s: float


def listen(host: str, secret: str, tell: Callable[[int], None]) -> int:
    """Let one caller who knows the ``secret`` measure; return how many bytes it sent.

    ``tell`` gets the port. Raises ``OSError``, a ``TimeoutError`` among them, if ``host`` is no
    address of this machine or nobody comes.
    """
    with socket.create_server((host, 0)) as server:
        tell(server.getsockname()[1])
        end = time.monotonic() + COME_S
        while True:
            server.settimeout(max(0.001, end - time.monotonic()))
            caller, _ = server.accept()
            with caller:
                caller.settimeout(PATIENCE_S)
                if _knows(caller, secret):
                    return _answer(caller)


def measure(host: str, port: int, secret: str) -> LinkSpeed:
    """Measure the link to who listens there. Raises ``OSError`` if it breaks or hangs."""
    with socket.create_connection((host, port), timeout=PATIENCE_S) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(f"{secret}\n".encode())
        return LinkSpeed(_round_trip_s(link), _bytes_per_s(link))


def _knows(caller: socket.socket, secret: str) -> bool:
    wanted = f"{secret}\n".encode()
    try:
        return hmac.compare_digest(_receive(caller, len(wanted)), wanted)
    except OSError:
        return False


def _answer(caller: socket.socket) -> int:
    caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while (word := caller.recv(1)) == b"p":
        caller.sendall(word)
    count = 0
    while part := caller.recv(len(_CHUNK)):
        count += len(part)
    caller.sendall(_COUNT.pack(count))
    return count


def _round_trip_s(link: socket.socket) -> float:
    times: list[float] = []
    end = time.monotonic() + _PING_S
    while len(times) < PINGS and (not times or time.monotonic() < end):
        began = time.perf_counter()
        link.sendall(b"p")
        _receive(link, 1)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _bytes_per_s(link: socket.socket) -> float:
    link.sendall(b"b")
    began = time.perf_counter()
    while time.perf_counter() - began < _BULK_S:
        link.sendall(_CHUNK)
    link.shutdown(socket.SHUT_WR)
    (count,) = _COUNT.unpack(_receive(link, _COUNT.size))
    return float(count) / (time.perf_counter() - began)


def _receive(link: socket.socket, count: int) -> bytes:
    """Exactly ``count`` bytes; ``ConnectionError`` if the other end closes before."""
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            raise ConnectionError("the other end closed the connection")
        data += part
    return data
