"""Which revision of each pulled model to load: the record that ``models pull`` leaves.

A Hugging Face id names a branch that may move; the daemon must load the very
commit that was pulled and checked. ``mlxoss.hub`` writes a pin once every file of
a model is in the Hugging Face cache; whoever resolves an id to a folder reads it::

    pin = read_pins(paths.pins_file()).get("mlx-community/gpt-oss-20b-MXFP4-Q8")
    # -> snapshots/<pin.commit> in the model's folder of the Hugging Face cache

The file is JSON: ``{"version": 1, "models": {id: {"commit": …, "pulled_at": …}}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlxoss.errors import ConfigError
from mlxoss.files import locked, replace_file

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Pin:
    """A model's pinned ``commit`` (40 hex digits); ``pulled_at`` is a Unix time in seconds."""

    commit: str
    pulled_at: int


def read_pins(file: Path) -> dict[str, Pin]:
    """Every pin by the model's id; none when the file does not exist.

    Raises ``ConfigError`` naming the file when it is damaged.
    """
    try:
        document = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from None
    try:
        if document["version"] != _VERSION:
            raise _damaged(file, f"version {document['version']} is not {_VERSION}")
        return {
            str(name): Pin(commit=str(entry["commit"]), pulled_at=int(entry["pulled_at"]))
            for name, entry in document["models"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(file, f"it lacks what a record of models has ({error!r})") from None


def write_pin(file: Path, name: str, pin: Pin) -> None:
    """Record ``pin`` for the model ``name``, keeping all others.

    The file is replaced as a whole, so a reader never sees half of it; writers wait
    for each other. Its folder must exist.
    """
    with locked(file.with_suffix(".lock")):
        pins: Mapping[str, Pin] = {**read_pins(file), name: pin}
        document = {"version": _VERSION, "models": {k: asdict(v) for k, v in pins.items()}}
        replace_file(file, (json.dumps(document, indent=2) + "\n").encode())


def _damaged(file: Path, why: str) -> ConfigError:
    return ConfigError(f"The record of models {file} cannot be used: {why}.", source=str(file))
