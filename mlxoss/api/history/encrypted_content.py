"""``encrypted_content``: what a client keeps for us without being able to read or change it.

ChaCha20-Poly1305 (RFC 8439) under the server's own key, with a random nonce each time.
What a blob is for is authenticated too, so that one kind never passes for another.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mlxoss.api.history.rounds import EndedRound, pack_round, unpack_round
from mlxoss.core import JsonObject
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import Reasoning

_PREFIX = "mlxoss1."
_ROUNDS_PREFIX = "mlxoss1r."
"""What holds rounds is told apart by it, so that nothing else has to be opened to look for them."""

_NONCE_BYTES = 12

_REASONING = b"mlxoss reasoning 1"
_COMPACTION = b"mlxoss compaction 1"


class ContentSeal:
    """Seals and opens contents under ``key``. Immutable; any thread may use it.

    The key has ``KEY_BYTES`` (``mlxoss.core``). ``random_bytes`` gives that many unpredictable
    bytes (``os.urandom``). ``note_foreign`` is called, on the thread that asks, for each content
    that the conversation goes on without.
    """

    def __init__(
        self,
        key: bytes,
        random_bytes: Callable[[int], bytes],
        note_foreign: Callable[[], None] = lambda: None,
    ) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._random_bytes = random_bytes
        self.note_foreign = note_foreign

    def seal_reasoning(self, reasoning: Reasoning | None, rounds: Sequence[EndedRound] = ()) -> str:
        """The content for a reasoning item: its exact ids, or its text where it has none.

        With it go the ``rounds`` before it, of which the client's items do not hold all.
        """
        content: JsonObject = {}
        if reasoning is not None:
            known = reasoning.token_ids
            content = {"text": reasoning.text} if known is None else {"ids": known}
        if rounds:
            content["rounds"] = [pack_round(one) for one in rounds]
        prefix = _ROUNDS_PREFIX if rounds else _PREFIX
        return self._seal(content, _REASONING, prefix)

    def open_reasoning(self, content: str) -> Reasoning | None:
        """What :meth:`seal_reasoning` was given; without the text if there are ids.

        ``None`` for anything that this key did not seal: a conversation that was begun with
        another server goes on without that reasoning. Also for what holds no reasoning.
        """
        opened = self._open(content, _REASONING)
        if opened is None:
            self.note_foreign()
            return None
        if not opened.keys() & {"ids", "text"}:
            return None
        ids = opened.get("ids")
        return Reasoning(opened.get("text", ""), None if ids is None else tuple(ids))

    def open_rounds(self, content: str) -> tuple[EndedRound, ...]:
        """The rounds that :meth:`seal_reasoning` was given; none for what this key did not seal."""
        if not content.startswith(_ROUNDS_PREFIX):
            return ()
        opened = self._open(content, _REASONING) or {}
        return tuple(unpack_round(one) for one in opened.get("rounds", ()))

    def seal_compaction(self, summary: str) -> str:
        """The content for a compaction item."""
        return self._seal({"summary": summary}, _COMPACTION)

    def open_compaction(self, content: str, *, param: str) -> str:
        """What :meth:`seal_compaction` was given.

        Raises InvalidRequest, naming ``param``, for anything that this key did not seal.
        """
        opened = self._open(content, _COMPACTION)
        if opened is None:
            raise InvalidRequest(
                f"The encrypted content in '{param}' could not be opened: it is damaged, or "
                "another server or another content.key sealed it. Nothing else holds the part of "
                "the conversation that it stands for: send those items themselves, or begin anew.",
                param=param,
                code="invalid_encrypted_content",
            )
        summary: str = opened["summary"]
        return summary

    def _seal(self, content: JsonObject, purpose: bytes, prefix: str = _PREFIX) -> str:
        packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
        nonce = self._random_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, packed, purpose)
        return prefix + base64.urlsafe_b64encode(sealed).decode()

    def _open(self, content: str, purpose: bytes) -> JsonObject | None:
        try:
            bare = content.removeprefix(_ROUNDS_PREFIX).removeprefix(_PREFIX)
            sealed = base64.b64decode(bare, altchars=b"-_", validate=True)
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            packed = self._cipher.decrypt(nonce, rest, purpose)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        opened: JsonObject = json.loads(zlib.decompress(packed))
        return opened
