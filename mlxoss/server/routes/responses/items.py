"""Pages of items, as responses and conversations list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic import Request

from mlxoss.api.openapi.endpoint import QueryParameter
from mlxoss.server.http.query import read_query
from mlxoss.store.values import Order, Page, PageRequest

if TYPE_CHECKING:  # what shapes import is slow
    from mlxoss.api.responses.item_answers import ItemList

PAGE = (
    QueryParameter("after", "Begin behind this item.", {"type": "string"}),
    QueryParameter(
        "limit",
        "How many items.",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    ),
    QueryParameter(
        "order",
        "Oldest or newest first.",
        {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    ),
)
"""The query of a list."""


def read_page_request(http: Request) -> PageRequest:
    """The page that a list's query asks for."""
    from mlxoss.api.responses.item_list import parse_page_query

    query = parse_page_query(read_query(http))
    order = Order.ASC if query.is_ascending else Order.DESC
    return PageRequest(query.after, query.limit, order)


def to_page(page: Page) -> ItemList:
    """A page of items."""
    from mlxoss.api.responses.object import to_item_list
    from mlxoss.turns.responses.kept import read_listed

    return to_item_list(read_listed(page.items), has_more=page.has_more)
