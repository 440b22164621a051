"""What rank 0 and the others say to each other.

A message on the wire is a JSON array: its class's name and its fields in order. ``kept`` is the
number and size in bytes of the snapshots in the prefix cache, which must be the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Kept = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Beat:
    """Each to the other, a few times within ``rank_timeout``. A rank tells of its ``memory``,
    rank 0 whether the others' machines are to ``keep_awake``, at once when that changes.
    """

    memory: Mapping[str, int] = field(default_factory=dict)
    keep_awake: bool = False


# From rank 0.


@dataclass(frozen=True, slots=True)
class Join:
    """Form MLX's group: each rank's ``host:port`` in order, by which its neighbours find it."""

    addresses: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class LoadShard:
    """Read the shard into memory, the experts ``fused`` or not; answered by ``Loaded``."""

    fused: bool = True


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a batch of at most ``max_batch``, and a prefix cache, and measure (``Measure``). A
    row that is alone has ``plain_caches``, or not.
    """

    max_batch: int
    prefix_bytes: int
    plain_caches: bool = True


@dataclass(frozen=True, slots=True)
class InsertSequence:
    """Admit a sequence, of which the prefix cache held ``cached_tokens``, or have it go on.

    Snapshots are to be kept at the lengths ``cuts``.
    """

    uid: int
    prompt_ids: tuple[int, ...]
    max_tokens: int
    stop_ids: tuple[int, ...]
    cuts: tuple[int, ...]
    cached_tokens: int
    kept: Kept
    cache_key: str | None = None


@dataclass(frozen=True, slots=True)
class PauseSequence:
    """Take a sequence out until it is inserted again with all its tokens so far."""

    uid: int
    kept: Kept


@dataclass(frozen=True, slots=True)
class RemoveSequence:
    """Take a sequence out; one that ``is_spoiled`` makes all that was computed suspect."""

    uid: int
    is_spoiled: bool = False


@dataclass(frozen=True, slots=True)
class RunStep:
    """Run a step: ``chunk_tokens`` of each prompt, and in each row ``runs`` along with its id."""

    chunk_tokens: int
    runs: tuple[tuple[int, ...], ...]
    kept: Kept


@dataclass(frozen=True, slots=True)
class WarmPrompt:
    """Compute a bit of a prompt ahead; ``None``: of the one of last time."""

    prompt_ids: tuple[int, ...] | None
    kept: Kept


@dataclass(frozen=True, slots=True)
class Rest:
    """Give back memory that is only there for reuse."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Take part in timing what a step communicates."""


@dataclass(frozen=True, slots=True)
class UnloadShard:
    """Free the shard; ``LoadShard`` may follow."""


@dataclass(frozen=True, slots=True)
class Bye:
    """End the process: all is well."""


# To rank 0.


@dataclass(frozen=True, slots=True)
class Ready:
    """The process runs: ``addresses`` are where its neighbours in the ring will find it.

    ``versions`` are those of what must be the same everywhere.
    """

    pid: int
    addresses: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The shard is in memory, which leaves ``room_bytes`` of what this rank may take.

    ``prefix_bytes`` is what its prefix cache could have of them, ``model`` tells its files from
    those of any other model.
    """

    room_bytes: int
    prefix_bytes: int
    model: str


@dataclass(frozen=True, slots=True)
class Failed:
    """This rank cannot go on, or (``is_model``) cannot load the model."""

    why: str
    is_model: bool = False


Message = (
    Beat
    | Join
    | LoadShard
    | Begin
    | InsertSequence
    | PauseSequence
    | RemoveSequence
    | RunStep
    | WarmPrompt
    | Rest
    | Measure
    | UnloadShard
    | Bye
    | Ready
    | Loaded
    | Failed
)

_CLASSES = {
    cls.__name__: cls
    for cls in (
        *(
            Beat,
            Join,
            LoadShard,
            Begin,
            InsertSequence,
            PauseSequence,
            RemoveSequence,
            RunStep,
            WarmPrompt,
            Rest,
            Measure,
            UnloadShard,
        ),
        *(Bye, Ready, Loaded, Failed),
    )
}


def to_bytes(message: Message) -> bytes:
    """The message as UTF-8 JSON."""
    values = [getattr(message, each.name) for each in fields(message)]
    return json.dumps([type(message).__name__, *values], separators=(",", ":")).encode()


def parse_message(data: bytes) -> Message:
    """``to_bytes`` backwards. Raises ``ValueError`` for what is no message."""
    try:
        name, *values = json.loads(data)
        made: Any = _CLASSES[name](*(_frozen(value) for value in values))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no message: {data[:80]!r}") from error
    message: Message = made
    return message


def _frozen(value: Any) -> Any:
    """Lists as tuples, two deep: no field has more."""
    if not isinstance(value, list):
        return value
    return tuple(tuple(each) if isinstance(each, list) else each for each in value)
