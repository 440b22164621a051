"""A bar for what takes a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Done(Protocol):
    """Called with what comes next; what came before is done."""

    def __call__(self, name: str, /, *, more: int = 0) -> None:
        """``more`` steps than were known before are to come."""


@contextmanager
def progress(steps: int) -> Iterator[Done]:
    """A bar on a terminal; each call says what comes next. Nothing anywhere else."""
    if not sys.stderr.isatty():
        yield _show_nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=steps)

        def done(name: str, *, more: int = 0) -> None:
            begun = bar.tasks[0].description != ""
            total = (bar.tasks[0].total or 0) + more
            bar.update(task, advance=int(begun), total=total, description=name)

        yield done


def _show_nothing(name: str, *, more: int = 0) -> None:
    pass
