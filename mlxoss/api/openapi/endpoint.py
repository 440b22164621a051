"""What callers may know of an endpoint: declared beside its handler, told by ``/openapi.json``.

Named tuples, here and elsewhere in what is imported before the server listens: a dataclass takes
five times as long to make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import TypeAliasType

ALWAYS = (400, 401, 403, 408, 413, 500, 503)
"""The errors of every endpoint: a head that is none, is late or too long; a caller who may
not talk to the server, or has no key; a server that broke, is full, stops or has no model."""

BODY = (415, 417)
"""One that reads a body as well, and says no to any ``Expect`` but ``100-continue``."""

TURN = (*BODY, 429, 504)
"""One that runs a turn as well."""


class QueryParameter(NamedTuple):
    """What a URL's query may hold; ``schema`` is its JSON schema."""

    name: str
    description: str
    schema: Mapping[str, object]


class Shapes(NamedTuple):
    """The types of what goes over an endpoint, as pydantic describes them.

    ``answer`` is that of the JSON that answers with each of its ``statuses``, ``body`` of the
    request, ``events`` of an event where the answer is streamed as ``events_media``, ``error`` of
    what is answered with its errors (``None``: the error object of ``mlxoss.api.answers``).
    """

    answer: type | TypeAliasType
    body: type | None = None
    events: type | TypeAliasType | None = None
    error: type | TypeAliasType | None = None
    events_media: str = "text/event-stream"


class Endpoint(NamedTuple):
    """One method on one path; with ``has_head`` HEAD is answered like GET.

    ``path`` is in Sanic's form (``/v1/models/<model_id:path>``). ``shapes`` imports its types,
    which takes time: not before they are asked for. ``errors`` are the statuses besides
    ``ALWAYS``. ``media`` is the type of an answer that is text and no JSON. The handler of one
    that reads a body, or ``is_slow``, sees when its client leaves. One that says nothing of its
    own to strangers ``needs_key`` not. One that ``is_messages`` speaks to clients of Anthropic's.
    """

    method: str
    path: str
    summary: str
    shapes: Callable[[], Shapes] | None = None
    query: tuple[QueryParameter, ...] = ()
    errors: tuple[int, ...] = ()
    statuses: tuple[int, ...] = (200,)
    media: str | None = None
    has_head: bool = False
    is_slow: bool = False
    needs_key: bool = True
    is_messages: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that it answers."""
        return (self.method, "HEAD") if self.has_head else (self.method,)

    @property
    def reads_body(self) -> bool:
        """Whether requests have a body."""
        return set(BODY) <= set(self.errors)

    @property
    def is_socket(self) -> bool:
        """Whether it opens a WebSocket."""
        return self.statuses == (101,)


class NamedEndpoint(NamedTuple):
    """An endpoint as it is served: ``verb`` is unique in its ``group``."""

    group: str
    verb: str
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """Unique among the endpoints."""
        return f"{self.group}-{self.verb}"
