"""What callers may know of an endpoint: declared with its route, told by ``/openapi.json``."""

from __future__ import annotations

from dataclasses import dataclass

ALWAYS = (400, 401, 403, 408, 413, 500, 503)
"""The errors of every endpoint: a head that is none, is late or too long; a caller who may
not talk to the server, or has no key; a server that broke, is full, stops or has no model."""

BODY = (415, 417)
"""One that reads a body as well, and says no to any ``Expect`` but ``100-continue``."""

TURN = (*BODY, 429, 504)
"""One that runs a turn as well."""

MESSAGES_ERROR = "MessagesError"
"""The ``error`` of endpoints that speak to clients of Anthropic's."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path; with ``has_head`` HEAD is answered like GET.

    ``group`` and ``verb`` name it. ``path`` is in Sanic's form (``/v1/models/<model_id:path>``).
    ``body``, ``answer`` and ``events`` name models of ``mlxoss.api.openapi_models.MODELS``: of
    the request, of the JSON that answers with each of ``statuses``, and of an event where that
    is streamed. ``query`` names what ``mlxoss.api.openapi.QUERY`` describes. ``errors`` are the
    statuses besides ``ALWAYS``, and ``error`` names the model of what is answered with them. The
    handler of one with a body, or that ``is_slow``, reads what is sent, and sees when its client
    leaves. ``media`` is the type of an answer that is text and no JSON. One that says nothing of
    its own to strangers ``needs_key`` not.
    """

    group: str
    verb: str
    method: str
    path: str
    summary: str
    answer: str | None = None
    body: str | None = None
    events: str | None = None
    query: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    statuses: tuple[int, ...] = (200,)
    has_head: bool = False
    is_slow: bool = False
    error: str = "Error"
    media: str | None = None
    needs_key: bool = True

    @property
    def name(self) -> str:
        """Unique among the endpoints."""
        return f"{self.group}-{self.verb}"

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that it answers."""
        return (self.method, "HEAD") if self.has_head else (self.method,)
