"""Commands that parse nothing but switches, without what Typer loads to convert values.

Typer converts the help option's missing value like any other, and for that imports Pydantic
(0.15 s). A value that is a ``bool`` already is left alone.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class QuickGroup(TyperGroup):
    """A group whose help option is off unless given."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option with a ``bool`` for its default."""
        return _off(super().get_help_option(ctx))


class QuickCommand(TyperCommand):
    """A command whose help option is off unless given."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option with a ``bool`` for its default."""
        return _off(super().get_help_option(ctx))


def _off(option: Any) -> Any:
    if option is not None:
        option.default = False
    return option
