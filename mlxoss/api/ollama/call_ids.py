"""Ids of calls for clients that keep none: made of all that was said before them.

Most of Ollama's clients drop a call's id. Whoever sends the conversation again sends what was said
before the call again, so its id can be made anew, and the turn that made it is found by that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from mlxoss.api.ollama.request import OllamaMessageParam
from mlxoss.api.sse import encode_json

_DIGEST_BYTES = 12


class CallIds:
    """The ids of calls behind the messages that were taken in so far.

    Only who knows the ``key`` can tell them; ``caller`` keeps callers apart.
    """

    def __init__(self, key: bytes, caller: str | None) -> None:
        self._said = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)
        self._add((caller or "").encode())

    def take_in(self, message: OllamaMessageParam) -> None:
        """It was said."""
        self._add(encode_json(message.model_dump(exclude_none=True)))

    def behind(self) -> Iterator[str]:
        """The ids of the calls in the message that comes now, in order."""
        said, number = self._said.hexdigest(), 0
        while True:
            yield f"call_{said}_{number}"
            number += 1

    def _add(self, data: bytes) -> None:
        self._said.update(len(data).to_bytes(8, "big") + data)
