"""Log probabilities in OpenAI's shape, which chat and responses share."""

from __future__ import annotations

from collections.abc import Callable

from mlxoss.api.answers import Logprob, LogprobEntry
from mlxoss.core import LEAST_LOGPROB, TokenLogprob


def to_logprob_entry(
    token_bytes: Callable[[int], bytes], token_id: int, logprob: TokenLogprob
) -> LogprobEntry:
    """One token with its alternatives. ``token_bytes`` gives a token's bytes."""
    top = [_to_token(token_bytes(id_), value) for id_, value in logprob.top]
    return {**_to_token(token_bytes(token_id), logprob.logprob), "top_logprobs": top}


def least_logprob(value: float) -> float:
    """``value``, or the least that JSON and OpenAI's clients take for "never"."""
    return max(value, LEAST_LOGPROB)


def _to_token(token: bytes, logprob: float) -> Logprob:
    return {
        "token": token.decode("utf-8", "replace"),
        "logprob": least_logprob(logprob),
        "bytes": list(token),
    }
