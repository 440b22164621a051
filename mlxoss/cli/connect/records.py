"""What was written into which settings file, so that it can be undone to the byte.

One file in the data folder, its owner's alone: texts of settings may hold keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlxoss.errors import StoreError
from mlxoss.files import locked, replace_file

RECORDS_FILE = "connections.json"
_LOCK_FILE = "connections.lock"


@dataclass(frozen=True, slots=True)
class Record:
    """A file as undoing leaves it, ``None``: it was not there, and as it was written.

    ``folders`` were made for it, the innermost first.
    """

    before: str | None
    after: str
    folders: tuple[str, ...] = ()


def read_records(folder: Path) -> dict[str, Record]:
    """All, by the paths of the files (where links lead).

    Raises ``StoreError`` where they are damaged.
    """
    path = folder / RECORDS_FILE
    try:
        found = json.loads(path.read_text("utf-8"))
        return {str(name): _read(entry) for name, entry in found["files"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"The file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"The file {path} is damaged ({error!r}). Remove it: then nothing is restored to the "
            "byte, but mlxoss connect NAME --remove still takes its own settings out."
        ) from None


def keep_record(folder: Path, file: Path, record: Record | None) -> None:
    """Keep ``record`` for a file, or none. Raises ``StoreError``."""
    try:
        with locked(folder / _LOCK_FILE):
            records = read_records(folder) | ({str(file): record} if record else {})
            if record is None:
                records.pop(str(file), None)
            entries = {name: asdict(each) for name, each in records.items()}
            document = {"version": 1, "files": entries}
            replace_file(folder / RECORDS_FILE, json.dumps(document, indent=1).encode())
    except OSError as error:
        message = f"The file {folder / RECORDS_FILE} cannot be written: {error.strerror or error}."
        raise StoreError(message) from error


def _read(entry: Mapping[str, Any]) -> Record:
    before = entry["before"]
    if not (before is None or isinstance(before, str)):
        raise ValueError(before)
    return Record(before, str(entry["after"]), tuple(map(str, entry["folders"])))
