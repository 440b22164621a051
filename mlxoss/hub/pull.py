"""Pulling a model: what is checked, in which order, and what is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mlxoss.errors import ModelError
from mlxoss.hub.cache import Hub, Snapshot, is_gpt_oss
from mlxoss.hub.errors import in_one_sentence
from mlxoss.model_pins import Pin, write_pin


def pull(
    hub: Hub, name: str, revision: str, *, pins: Path, tell: Callable[[str], None]
) -> Snapshot:
    """Download the model ``name`` at ``revision`` and record its commit in ``pins``.

    ``tell`` gets one line before weights are fetched. Raises ``ModelError`` in one
    sentence: before any weight for what is not ``gpt_oss`` or does not fit on the disk.
    """
    with in_one_sentence(name, hub.endpoint):
        snapshot = hub.describe(name, revision)
        _require_gpt_oss(hub, snapshot)
        needed = hub.to_fetch_bytes(snapshot)
        _require_space(hub, name, needed)
        tell(f"Pulling {name} at {snapshot.commit[:12]}: {to_size(needed)} to download.")
        hub.fetch(snapshot)
    write_pin(pins, name, Pin(snapshot.commit, int(time.time())))
    return snapshot


def to_size(size_bytes: int) -> str:
    """A size for people, in the decimal units that disks and the Hub use."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    scaled = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        scaled /= 1000
        if scaled < 999.95:
            return f"{scaled:.1f} {unit}"
    return f"{scaled / 1000:.1f} TB"


def _require_gpt_oss(hub: Hub, snapshot: Snapshot) -> None:
    names = {file.name for file in snapshot.files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        message = "has no config.json with safetensors weights beside it, so it cannot be served."
        raise ModelError(f"{snapshot.name} {message}")
    config = hub.read_config(snapshot)
    if not is_gpt_oss(config):
        found = config.get("model_type") if isinstance(config, dict) else None
        raise ModelError(f"{snapshot.name} is of the type {found!r}; mlxoss serves gpt_oss only.")


def _require_space(hub: Hub, name: str, needed: int) -> None:
    free = hub.free_bytes()
    if needed > free:
        raise ModelError(
            f"{name} needs {to_size(needed)} more, but only {to_size(free)} are free in "
            f"{hub.cache}; make room, or set HF_HOME to a folder on another disk."
        )
