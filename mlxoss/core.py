"""The values that cross floors: what is asked of the engine and what it answers.

Everything here is an immutable value of ints, floats and strings; no MLX array
and no JSON ever appears in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

VOCAB_SIZE = 201_088
"""Token ids of the Harmony vocabulary, reserved ones among them."""

LEAST_LOGPROB = -9999.0
"""What JSON and OpenAI's clients take for the logarithm of "never"."""

KEY_BYTES = 32
"""Of the key under which clients keep contents for the server (ChaCha20-Poly1305)."""


JsonObject = dict[str, Any]
"""An object as ``json`` reads it, or will write it."""

JsonMapping = Mapping[str, Any]
"""The same for whoever only reads it."""


class Effort(StrEnum):
    """How long the model reasons: Harmony's ``Reasoning:`` line."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class FinishReason(StrEnum):
    """Why the engine stopped sampling a sequence."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model before its weights are read.

    ``name`` is what ``/v1/models`` lists, ``context_tokens`` the longest
    sequence (prompt and answer together), ``created`` a Unix time in seconds
    that stays the same between calls and restarts.
    """

    name: str
    context_tokens: int
    created: int


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen. The defaults are OpenAI's for gpt-oss.

    Penalties count generated tokens only, except ``repetition_penalty``, which
    also counts the prompt's. ``top_logprobs`` is ``None`` when the request wants
    no log probabilities, else how many alternatives it wants (0 to 20).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    seed: int | None = None
    top_logprobs: int | None = None


class Grammar(Protocol):
    """A compiled grammar of one turn; ``mlxoss.harmony.grammar.compiler`` makes them."""

    def make_matcher(self) -> Any:
        """A ``GrammarMatcher`` (``mlxoss.harmony.grammar.matcher``) at the start of a turn.

        Microseconds, any thread.
        """


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence for the engine.

    ``max_tokens`` is at least 1 and already cut to what the context leaves.
    Sampling stops after a token of ``stop_ids``; that token is delivered. ``grammar`` says what
    may be sampled; ``None`` allows everything. Nobody waits for one that ``is_background``: all
    others go first. What was computed for prompts of one ``cache_key`` is kept longer.
    """

    prompt_ids: tuple[int, ...]
    max_tokens: int
    stop_ids: frozenset[int]
    sampling: SamplingParams = SamplingParams()
    grammar: Grammar | None = None
    is_background: bool = False
    cache_key: str | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logarithms of probabilities at one position.

    ``top`` holds (token id, logprob) pairs, most likely first.
    """

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """One sampled token. ``finish`` is set on the sequence's last one only."""

    token_id: int
    finish: FinishReason | None = None
    logprob: TokenLogprob | None = None
