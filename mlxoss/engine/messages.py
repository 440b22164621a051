"""What crosses between the event loop's thread and the engine's: commands in, deliveries out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.errors import MlxossError


@dataclass(frozen=True, slots=True)
class Submit:
    """Run ``request`` as soon as a slot is free.

    With ``since`` it goes on from another one: it waits before those that did not begin yet, and
    is as old as the sequence of that number.
    """

    uid: int
    request: GenerationRequest
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget the sequence, wherever it is; nothing is handed out for it any more."""

    uid: int


@dataclass(frozen=True, slots=True)
class Warm:
    """Compute ``prompt_ids`` into the prefix cache whenever there is nothing else to do."""

    prompt_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WarmBit:
    """Compute a bit of ``prompt_ids`` once, after all that ``Warm`` asked for.

    ``answer`` is called on the engine's thread with whether there is more to do.
    """

    prompt_ids: tuple[int, ...]
    answer: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Unload:
    """Return from ``Scheduler.run`` once no request runs or waits; or (not ``wanted``) do not."""

    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """Return from ``Scheduler.wait_for_request``; no matter where there is a backend."""


@dataclass(frozen=True, slots=True)
class Close:
    """Return from ``Scheduler.run``."""


Command = Submit | Cancel | Warm | WarmBit | Unload | Load | Close


@dataclass(frozen=True, slots=True)
class Admitted:
    """The sequence got its slot after waiting ``wait_s`` seconds."""

    uid: int
    wait_s: float
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class WentOn:
    """A sequence that paused has a slot again, and the first ``known_tokens`` of its tokens need no
    computing."""

    uid: int
    known_tokens: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The sequence failed; ``error`` is for its caller."""

    uid: int
    error: MlxossError


Delivery = Admitted | WentOn | SequencePrefilled | SequenceOutput | Ended
Deliver = Callable[[Sequence[Delivery]], None]
