"""``mlxoss rank``: one of the processes that share a model, started by ``mlxoss serve``."""

from __future__ import annotations


def rank() -> None:
    """Compute a part of a model for the process that started this one."""
    from mlxoss.engine.ranks.worker import run_rank

    run_rank()
