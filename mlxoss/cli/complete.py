"""Words that the shell completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlxoss.errors import MlxossError


def completing(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What Typer calls for those of ``words`` that begin as what is typed; none on an error."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [word for word in words() if word.startswith(incomplete)]
        except MlxossError:
            return []

    return complete
