"""What the engine's thread drives: the seam between scheduling and MLX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlxoss.core import GenerationRequest, TokenOutput


@dataclass(frozen=True, slots=True)
class SequenceOutput:
    """One step's result for the sequence ``uid``."""

    uid: int
    token: TokenOutput


@dataclass(frozen=True, slots=True)
class SequenceFailed:
    """The sequence ``uid`` raised and has left the batch; the others are unharmed."""

    uid: int
    error: Exception


@dataclass(frozen=True, slots=True)
class SequencePrefilled:
    """``tokens`` more tokens of the prompt of the sequence ``uid`` were computed in this step."""

    uid: int
    tokens: int


@dataclass(frozen=True, slots=True)
class SequencePaused:
    """The sequence ``uid`` has left the batch for now: with ``request``, whose prompt holds all
    that was sampled so far, ``insert`` has it go on."""

    uid: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class PrefixCacheStatus:
    """A reading of the prefix cache: snapshots kept, their size, what was saved since the load.

    ``hits`` counts the prompts that began with a snapshot, ``hit_tokens`` the tokens in those.
    Of the disk tier (``disk_limit_bytes`` is 0 without one) ``disk_hits`` counts what was read.
    """

    entries: int
    bytes: int
    limit_bytes: int
    hits: int
    hit_tokens: int
    disk_entries: int = 0
    disk_bytes: int = 0
    disk_limit_bytes: int = 0
    disk_hits: int = 0


StepOutput = SequenceOutput | SequenceFailed | SequencePrefilled | SequencePaused


class Backend(Protocol):
    """A batch of sequences on one device. Every method runs on the engine's thread."""

    @property
    def prefix_cache(self) -> PrefixCacheStatus | None:
        """A reading; ``None`` where nothing is kept between requests."""

    @property
    def most_tokens(self) -> int | None:
        """The longest sequence that the memory holds; ``None``: no bound but the model's own."""

    def has_room(self, request: GenerationRequest) -> bool:
        """Whether it fits beside all that is admitted, or never can, which ``insert`` says.

        Each is counted with a bit more than it holds, so that none has to pause at once.
        """

    def insert(self, uid: int, request: GenerationRequest) -> int:
        """Admit a sequence; return how many tokens of its prompt need no computing.

        An answer is cut to what ``most_tokens`` leaves. One that was paused goes on as if it had
        not been. Raises for a request that cannot run; the batch is unharmed then.
        """

    def fits(self) -> bool:
        """Whether the memory holds what is admitted after the next step; it does for any one."""

    def pause(self, uid: int) -> Sequence[StepOutput]:
        """Take an admitted sequence out between two steps; what is computed is kept if it can be.

        Returns its ``SequencePaused``, after the token that it had chosen already, if any. Where
        that was its last, or it failed, there is no pause.
        """

    def remove(self, uid: int) -> None:
        """Take a sequence out at any stage (prefill, decode, paused). Unknown ids are ignored.

        What was prefilled of a prompt is kept if it can be: it may be asked for again.
        """

    def step(self) -> Sequence[StepOutput]:
        """Run one prefill chunk and one decode step for everything admitted.

        A finished or failed sequence has left the batch when this returns. An
        exception means that the whole batch is lost.
        """

    def warm(self, prompt_ids: tuple[int, ...]) -> bool:
        """Compute a bit of a prompt that is likely to come, into the prefix cache.

        Only while nothing is admitted. Returns whether there is more to do; the progress is kept.
        """

    def rest(self) -> None:
        """Give back memory that is only there for reuse. Nothing is admitted, or will be soon."""

    def let_go(self) -> None:
        """Let the system have what it needs of the weights' memory, until the next ``insert`` or
        ``warm``. Nothing is admitted, or was for long."""

    def keep_warm(self) -> None:
        """Give the device a moment's work, so that it does not slow down. Nothing is admitted."""

    def rebuild(self) -> None:
        """Start over with an empty batch after ``step`` raised; the weights stay.

        What is paused can go on: what was computed for it is computed anew.
        """

    def close(self) -> None:
        """Free the weights and caches and give their memory back to the system."""
