"""The connection between rank 0 and another rank: framed messages between two that share a secret.

A frame is four bytes of length, most significant first, and a message. Each side proves that it
knows the secret by an HMAC of what the other one made up, so it never crosses the network. What
follows is neither encrypted nor signed, as is what MLX sends: the ranks' network must be trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import struct
import threading

from mlxoss.engine.ranks.messages import Message, parse_message, to_bytes

MOST_BYTES = 8 << 20
"""Of a message: a prompt of the longest context takes a tenth."""

_MOST_GREETING_BYTES = 512
_LENGTH = struct.Struct(">I")
_NONCE_BYTES = 32


class RankChannel:
    """One end. ``send`` may be called on any thread, ``receive`` on one.

    Both raise ``OSError`` when the connection is lost, or the other side says what is no message.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._lock = threading.Lock()
        self.sent_messages = 0
        self.sent_bytes = 0

    def send(self, message: Message) -> None:
        """Send a message; blocks while the other side does not read."""
        data = to_bytes(message)
        with self._lock:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
            self.sent_messages += 1
            self.sent_bytes += _LENGTH.size + len(data)

    def receive(self) -> Message:
        """Wait for a message."""
        try:
            return parse_message(_read_frame(self._socket, MOST_BYTES))
        except ValueError as error:
            raise ConnectionError(str(error)) from error

    def close(self) -> None:
        """Close the connection; whoever receives gets ``OSError``."""
        with contextlib.suppress(OSError):  # the other side was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def greet(sock: socket.socket, secret: bytes, rank: int) -> None:
    """Prove to rank 0 that this is ``rank``, and have it prove itself. Raises ``OSError``."""
    challenge = _read_frame(sock, _MOST_GREETING_BYTES)
    own = secrets.token_bytes(_NONCE_BYTES)
    proof = _proof(secret, f"rank {rank}", challenge)
    _write_frame(sock, json.dumps([rank, proof, own.hex()]).encode())
    answer = _read_frame(sock, _MOST_GREETING_BYTES)
    if not hmac.compare_digest(answer, _proof(secret, "rank 0", own).encode()):
        raise ConnectionError("what answers is not rank 0")


def welcome(sock: socket.socket, secret: bytes) -> int:
    """Which rank has connected. Raises ``OSError`` if it cannot prove that it is one."""
    challenge = secrets.token_bytes(_NONCE_BYTES)
    _write_frame(sock, challenge)
    try:
        rank, proof, nonce = json.loads(_read_frame(sock, _MOST_GREETING_BYTES))
        wanted = _proof(secret, f"rank {int(rank)}", challenge)
        if not hmac.compare_digest(str(proof).encode(), wanted.encode()):
            raise ValueError("a wrong proof")
        answer = _proof(secret, "rank 0", bytes.fromhex(nonce))
    except (ValueError, TypeError, OverflowError) as error:
        raise ConnectionError(f"a stranger: {error}") from error
    _write_frame(sock, answer.encode())
    return int(rank)


def _proof(secret: bytes, who: str, nonce: bytes) -> str:
    return hmac.new(secret, who.encode() + b"\0" + nonce, hashlib.sha256).hexdigest()


def _write_frame(sock: socket.socket, data: bytes) -> None:
    sock.sendall(_LENGTH.pack(len(data)) + data)


def _read_frame(sock: socket.socket, most_bytes: int) -> bytes:
    (length,) = _LENGTH.unpack(_read(sock, _LENGTH.size))
    if length > most_bytes:
        raise ConnectionError(f"a frame of {length} bytes")
    return _read(sock, length)


def _read(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise ConnectionError("the connection was closed")
        parts += part
    return bytes(parts)
