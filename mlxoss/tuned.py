"""What ``mlxoss tune`` found out: settings that are faster on this very machine and model.

A file in the data folder, with an entry for each model. It counts only for what it was measured
with (``TunedFor``): another chip, macOS, MLX or model may like something else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlxoss import __version__
from mlxoss.files import replace_file
from mlxoss.system.chip import chip_name, system_build
from mlxoss.system.memory import machine_bytes

TUNED_FILE = "tuned.json"
TUNABLE = ("command_buffers", "fused_experts", "compiled_layers", "plain_caches", "keep_warm")
"""Settings that change how fast it is and no token."""

_WORDS = {
    "chip": "the chip",
    "memory": "the memory",
    "system": "the system",
    "mlx": "MLX",
    "mlx_lm": "mlx-lm",
    "mlxoss": "mlxoss",
    "model": "the model's files",
}


@dataclass(frozen=True, slots=True)
class TunedFor:
    """What decides about speed. ``system`` is its build, ``model`` tells the files' contents."""

    chip: str
    memory: str
    system: str
    mlx: str
    mlx_lm: str
    mlxoss: str
    model: str

    def differs(self, other: TunedFor) -> list[str]:
        """What is not the same, in words for people."""
        mine, others = asdict(self), asdict(other)
        return [_WORDS[name] for name in mine if mine[name] != others[name]]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found on ``date``: ``settings`` by their names, none where nothing gained, and
    ``figures``, what was measured."""

    date: str
    measured_for: TunedFor
    settings: Mapping[str, Any]
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """For people, on one line."""
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in self.settings.items())
        return f"{shown or 'nothing gained'} (measured {self.date})"


def tuned_for(model_revision: str) -> TunedFor:
    """This machine, with what is installed. No MLX is imported for it."""
    return TunedFor(
        chip=chip_name(),
        memory=str(machine_bytes()),
        system=system_build(),
        mlx=_version("mlx"),
        mlx_lm=_version("mlx-lm"),
        mlxoss=__version__,
        model=model_revision,
    )


def read_tuned(folder: Path, model: str) -> Tuned | None:
    """The entry of a model in the data ``folder``; ``None`` without, or where it is damaged."""
    try:
        entry = _read(folder)[model]
        found = Tuned(
            str(entry["date"]),
            TunedFor(**entry["measured_for"]),
            dict(entry["settings"]),
            dict(entry["figures"]),
        )
    except (LookupError, TypeError, ValueError):
        return None
    return found if set(found.settings) <= set(TUNABLE) else None


def write_tuned(folder: Path, model: str, tuned: Tuned | None) -> bool:
    """Put the entry of a model in the place of an earlier one, or take it away with ``None``.

    Returns whether there was one. Raises ``OSError``.
    """
    entries = _read(folder)
    before = entries.pop(model, None)
    if tuned is not None:
        entries[model] = asdict(tuned)
    elif before is None:
        return False
    replace_file(folder / TUNED_FILE, json.dumps(entries, indent=2).encode())
    return before is not None


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / TUNED_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes a while

    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
