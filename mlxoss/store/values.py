"""What goes into the store and comes out of it.

JSON texts are the public objects and items in the API's shape; the store never
looks into them. Token ids are Harmony's. Times are Unix seconds.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where a response stands; the words are OpenAI's."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self not in (Status.QUEUED, Status.IN_PROGRESS)

    @property
    def answered(self) -> bool:
        """Whether its items become part of its conversation."""
        return self in (Status.COMPLETED, Status.INCOMPLETE)


class Order(StrEnum):
    """The order of a page: oldest first or newest first."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One public item: its id and its JSON text."""

    id: str
    json: str


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What a call that this server ran answered to the model: ``text``, in the name of ``author``.

    ``call_id`` is among its turn's. ``channel`` is Harmony's, ``None`` for a function's.
    """

    call_id: str
    author: str
    text: str
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """What the model wrote in one assistant turn, exactly.

    ``token_ids`` ends with the stop token if one was sampled. ``item_ids`` are the
    output items that came out of it, in order, each once; ``call_ids`` the ids of its
    calls, by which the turn is found again: of one that this server ran that of its item.
    ``results`` are what those answered, in the order in which the model read it.
    """

    token_ids: tuple[int, ...]
    item_ids: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()
    results: tuple[StoredResult, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One response, whole.

    ``object_json`` is the response object without its output. ``date`` is the
    conversation's: the first response's of the chain. ``stored`` is the request's
    ``store``; ``False`` (background only) is kept for a short while. Every id in
    ``turns[].item_ids`` is an output item's.
    """

    id: str
    created_at: int
    status: Status
    date: datetime.date
    object_json: str
    input_items: tuple[StoredItem, ...] = ()
    output_items: tuple[StoredItem, ...] = ()
    turns: tuple[StoredTurn, ...] = ()
    previous_response_id: str | None = None
    conversation_id: str | None = None
    background: bool = False
    stored: bool = True


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One response of a chain, as far as a prompt is made of it."""

    response_id: str
    status: Status
    date: datetime.date
    input_items: tuple[StoredItem, ...]
    output_items: tuple[StoredItem, ...]
    turns: tuple[StoredTurn, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Items in order, with every turn of which all items are still there."""

    items: tuple[StoredItem, ...]
    turns: tuple[StoredTurn, ...]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """``limit`` (at least 1) items in ``order``, beginning behind the item ``after``."""

    after: str | None = None
    limit: int = 20
    order: Order = Order.DESC


@dataclass(frozen=True, slots=True)
class Page:
    """Items in the order asked for. ``has_more`` says whether others follow."""

    items: tuple[StoredItem, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One streamed event of a background response: its sequence number and JSON text."""

    sequence: int
    json: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """The next events, in order, and where the response stood when they were read.

    Nothing follows once ``status`` has ended and ``has_more`` is false. ``dropped``
    says that the events were kept no longer and cannot be replayed.
    """

    events: tuple[Event, ...]
    status: Status
    has_more: bool
    dropped: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """What an interrupted response becomes: its failed object, and its last event if any."""

    object_json: str
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation without its items.

    ``metadata_json`` is an object's JSON text; ``date`` is ``None`` until the first
    response has been added.
    """

    id: str
    created_at: int
    metadata_json: str
    date: datetime.date | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, and for how long.

    ``max_items`` bounds responses, conversations and remembered turns, each by
    itself. ``max_bytes`` bounds all of them together: the pages in use of the
    database file (its write-ahead log comes on top: some megabytes). ``max_age_s``
    counts from the last response of a chain. ``unstored_s`` is for how long a
    background response with ``store: false`` can be fetched after its end,
    ``events_s`` for how long a background response's events can be replayed then.
    """

    max_items: int = 10_000
    max_bytes: int = 1 << 30
    max_age_s: float = 30 * 24 * 3600
    unstored_s: float = 600
    events_s: float = 600


@dataclass(frozen=True, slots=True)
class Stats:
    """How much is kept now; ``bytes`` as ``Bounds.max_bytes`` counts them."""

    responses: int
    conversations: int
    remembered_turns: int
    bytes: int


class UsageKey(NamedTuple):
    """What is counted together: a day in local time (``YYYY-MM-DD``), a client, an API."""

    day: str
    client: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Turns and their tokens; cached ones are of the input, reasoning of the output."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The counts of one day, client and API."""

    key: UsageKey
    counts: TokenCounts

    def to_json(self) -> dict[str, str | int]:
        """The row as reports have it."""
        return {**self.key._asdict(), **asdict(self.counts)}
