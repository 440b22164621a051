"""How a request asks for its tokens to be chosen.

Sources: OpenAI's API reference; vLLM for ``top_k``, ``min_p`` and ``repetition_penalty``.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from mlxoss.api.errors import invalid
from mlxoss.api.params import Temperature, TopLogprobs, TopP
from mlxoss.api.validation import StrictModel
from mlxoss.core import VOCAB_SIZE, SamplingParams

_SEED_BITS = 64

Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=-1)]
MinP = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
RepetitionPenalty = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]
TokenIdText = Annotated[str, Field(pattern=r"^[0-9]{1,6}$")]


class SamplingFields(StrictModel):
    """The fields that every generating endpoint takes. ``None`` means the default."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    logit_bias: dict[TokenIdText, Bias] | None = None
    seed: int | None = None
    top_logprobs: TopLogprobs | None = None


def check_sampling(fields: SamplingFields) -> None:
    """Raise InvalidRequest for what the types alone do not show."""
    for key in fields.logit_bias or {}:
        if int(key) >= VOCAB_SIZE:
            raise invalid(
                f"logit_bias.{key}",
                f"{key} is not a token id; the vocabulary has {VOCAB_SIZE} tokens",
            )


def to_sampling(fields: SamplingFields, *, logprobs: bool) -> SamplingParams:
    """The engine's parameters; with ``logprobs`` tokens come with log probabilities."""
    defaults = SamplingParams()
    wanted = {
        "temperature": fields.temperature,
        "top_p": fields.top_p,
        "min_p": fields.min_p,
        "presence_penalty": fields.presence_penalty,
        "frequency_penalty": fields.frequency_penalty,
        "repetition_penalty": fields.repetition_penalty,
    }
    bias = {int(key): value for key, value in (fields.logit_bias or {}).items()}
    return SamplingParams(
        **{name: getattr(defaults, name) if v is None else v for name, v in wanted.items()},
        top_k=max(fields.top_k or 0, 0),
        logit_bias=MappingProxyType(bias),
        seed=None if fields.seed is None else fold_seed(fields.seed),
        top_logprobs=(fields.top_logprobs or 0) if logprobs else None,
    )


def fold_seed(seed: int) -> int:
    """Any integer as one of 64 bits, the same one each time.

    What fits is kept (negatives as two's complement), so that small seeds stay
    themselves; what does not is hashed.
    """
    size = 1 << _SEED_BITS
    if -size // 2 <= seed < size:
        return seed % size
    length = seed.bit_length() // 8 + 1
    digest = hashlib.blake2b(
        seed.to_bytes(length, "big", signed=True), digest_size=_SEED_BITS // 8
    ).digest()
    return int.from_bytes(digest, "big")
