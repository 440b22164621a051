"""Grammars of llama.cpp's kind (GBNF) as Lark ones."""

from __future__ import annotations

from llguidance.gbnf_to_lark import gbnf_to_lark, is_lark_syntax

_OPTIONS = "%llguidance {}\n"
"""How the conversion begins. A request's own may not set options."""


def to_lark(definition: str) -> str:
    """``definition`` in Lark: as it is if it has a ``start``, else read as GBNF with a ``root``.

    Raises ValueError, saying why, for what is neither.
    """
    if is_lark_syntax(definition):
        return definition
    try:
        converted: str = gbnf_to_lark(definition)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 (all that the conversion raises for a wrong text)
        raise ValueError(f"it is neither Lark nor GBNF: {error}") from None
    return converted.removeprefix(_OPTIONS)
