"""The query of a list of items: ``after``, ``limit``, ``order``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlxoss.api.errors import invalid
from mlxoss.api.query import read_number

_LIMITS = range(1, 101)


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which items of a list: ``limit`` of them behind the item ``after``, newest first."""

    after: str | None = None
    limit: int = 20
    is_ascending: bool = False


def parse_page_query(query: Mapping[str, str]) -> PageQuery:
    """Read a URL's query. ``include`` and unknown keys are ignored: all that is kept is told.

    Raises InvalidRequest that names the key.
    """
    limit = read_number(query, "limit", _LIMITS, default=20)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("order", "it should be 'asc' or 'desc'")
    return PageQuery(query.get("after"), limit, order == "asc")
