"""TOML as a format of settings files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from mlxoss.cli.connect.values import Change, Drop, Put, Settings

_TRIPPED = (TOMLKitError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Toml:
    """Reads by Python's own parser, and edits by tomlkit."""

    name = "TOML"

    def read(self, text: str) -> Settings:
        """See ``Format``."""
        return tomllib.loads(text)

    def propose(self, text: str, changes: Sequence[Change]) -> Iterator[str]:
        """New tables under headers of their own, else inline.

        A header ends the table before it, so below keys with dots the rest of the file would fall
        into it; and an inline table holds none.
        """
        if text and not text.endswith("\n"):
            text += "\n"  # else tomlkit puts more behind the last line's comment
        for make in (tomlkit.table, tomlkit.inline_table):
            try:
                document = tomlkit.parse(text)
                for change in changes:
                    _apply(document, change, make)
                edited = tomlkit.dumps(document)
            except _TRIPPED:  # a text that it cannot edit is none
                continue
            yield edited


def _apply(document: Any, change: Change, make: Callable[[], Any]) -> None:
    *tables, name = change.keys
    at = document
    for each in tables:
        if each not in at:
            if isinstance(change, Drop):
                return
            at[each] = make()
        at = at[each]
    if isinstance(change, Put):
        at[name] = change.value
    elif name in at:
        del at[name]
