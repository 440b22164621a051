"""What every endpoint asks of a turn and gets of it, whatever its JSON looks like."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlxoss.core import SamplingParams, TokenLogprob
from mlxoss.harmony.conversation import Conversation
from mlxoss.harmony.events import Event
from mlxoss.harmony.grammar.rules import TurnRules


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A conversation to answer.

    ``choices`` independent answers; ``max_tokens`` per answer, ``None`` for
    whatever the context leaves; ``stops`` end an answer when its final text
    holds one; ``prompt_param`` is the field to blame for a prompt that is too long.
    With ``truncate`` a prompt that is too long loses its oldest items instead. With
    ``single_call`` an answer ends with its first call. ``rules`` say what an answer may hold;
    ``needs_grammar`` names the fields that nothing but a grammar can honour. Nobody waits for one
    that ``is_background``. With ``only_prompt`` the prompt is computed, and nothing is said.
    ``cache_key`` is the client's name for prompts that begin alike.
    """

    conversation: Conversation
    sampling: SamplingParams
    prompt_param: str
    max_tokens: int | None = None
    choices: int = 1
    stops: tuple[str, ...] = ()
    truncate: bool = False
    single_call: bool = False
    rules: TurnRules = field(default_factory=TurnRules)
    needs_grammar: tuple[str, ...] = ()
    is_background: bool = False
    only_prompt: bool = False
    cache_key: str | None = None


@dataclass(frozen=True, slots=True)
class RawRequest:
    """Prompts to go on from as they are, each in ``choices`` ways of ``max_tokens`` at most.

    ``stops`` end a completion when its text holds one.
    """

    prompts: tuple[tuple[int, ...], ...]
    sampling: SamplingParams
    max_tokens: int
    choices: int = 1
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """A turn's token counts; ``completion_tokens`` of all choices, stop tokens included."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class TurnOutput:
    """An event of choice ``index``, with the log probability of its token if there is one."""

    index: int
    event: Event
    logprob: TokenLogprob | None = None
