"""The files of the package, read as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of ``mlxoss`` by its dotted name."""
    return {
        _to_name(path): ast.parse(path.read_text()) for path in sorted(_ROOT.glob("mlxoss/**/*.py"))
    }


def _to_name(path: Path) -> str:
    parts = path.relative_to(_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(name: str) -> Iterator[str]:
    """The modules of ``mlxoss`` that ``name`` imports, anywhere in its file."""
    for node in ast.walk(modules()[name]):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name in modules())
            case ast.ImportFrom(module=str(module), names=names):
                for each in names:
                    whole = f"{module}.{each.name}"
                    found = whole if whole in modules() else module
                    if found in modules():
                        yield found
