"""Commands whose parameters are text and switches, without what Typer loads to convert values.

Typer converts every value, missing ones and the help option's among them, and for that imports
Pydantic (0.15 s). Only a ``bool`` for a switch is left alone.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class QuickGroup(TyperGroup):
    """A group whose help option is off unless given."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option with a ``bool`` for its default."""
        return _off(super().get_help_option(ctx))

    def get_params(self, ctx: Any) -> Any:
        """Return the options; those of shell completion do nothing unless given."""
        params = super().get_params(ctx)
        for param in params:
            if param.name in ("install_completion", "show_completion"):
                param.default = False
        return params


class QuickCommand(TyperCommand):
    """A command whose help option is off unless given, and whose texts stay as they are."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            _leave_text(param)

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option with a ``bool`` for its default."""
        return _off(super().get_help_option(ctx))


def _off(option: Any) -> Any:
    if option is not None:
        option.default = False
    return option


def _leave_text(param: Any) -> None:
    """Let Typer convert neither what is missing nor text for a parameter that is text."""
    if param.required or param.multiple or param.nargs != 1 or param.callback is not None:
        return
    convert = param.process_value
    is_text = param.type_descriptor.annotation is str

    def process(ctx: Any, value: Any) -> Any:
        if value is None or (is_text and isinstance(value, str)):
            return value
        return convert(ctx, value)

    param.process_value = process
