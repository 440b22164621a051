"""Values of a URL's query, whatever the API. Imported before the server listens: no pydantic."""

from __future__ import annotations

from collections.abc import Mapping

from mlxoss.api.errors import invalid


def read_number(query: Mapping[str, str], name: str, among: range, default: int) -> int:
    """The number ``name``, which is ``among`` those. Raises InvalidRequest that names it."""
    text = query.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(among[-1]))
    if not is_number or int(text) not in among:
        raise invalid(name, f"it should be a number from {among[0]} to {among[-1]}")
    return int(text)
