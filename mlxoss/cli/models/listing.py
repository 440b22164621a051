"""How ``mlxoss models list`` shows what is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from mlxoss.demo import DEMO_NAME
from mlxoss.hub.cache import LocalModel
from mlxoss.hub.pull import to_size


def bundled() -> LocalModel:
    """The demo model as a row."""
    return LocalModel(DEMO_NAME, None, None, gpt_oss=True, complete=True, pinned=False)


def to_json(models: Sequence[LocalModel]) -> str:
    """A JSON list with every field of every model."""
    return json.dumps([asdict(model) for model in models], indent=2)


def to_table(models: Sequence[LocalModel]) -> str:
    """A line per model under a heading, columns aligned."""
    rows = [("NAME", "REVISION", "SIZE", "STATE"), *map(_row, models)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(model: LocalModel) -> tuple[str, str, str, str]:
    size = "-" if model.size_bytes is None else to_size(model.size_bytes)
    return model.name, (model.commit or "bundled")[:12], size, _state(model)


def _state(model: LocalModel) -> str:
    if not model.gpt_oss:
        return "not gpt_oss"
    if not model.complete:
        return "incomplete: pull it again"
    return (
        "served unless --model is given"
        if model.commit is None
        else ("pulled" if model.pinned else "cached, not pulled by mlxoss")
    )
