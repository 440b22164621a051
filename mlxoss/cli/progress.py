"""A bar for what takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Done = Callable[[str], None]
"""Called with what comes next; what came before is done."""


@contextmanager
def progress(steps: int) -> Iterator[Done]:
    """A bar on a terminal; each call says what comes next. Nothing anywhere else."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=steps)

        def done(name: str) -> None:
            begun = bar.tasks[0].description != ""
            bar.update(task, advance=int(begun), description=name)

        yield done
