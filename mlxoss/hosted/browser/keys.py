"""The keys that search engines gave the user: a file in the data folder, its owner's alone (0600).

They are neither settings, which commands show, nor in a log. They stand there as they are, since
they have to be sent: whoever reads the owner's files has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mlxoss.api_key_file import changing_keys
from mlxoss.errors import ConfigError, StoreError
from mlxoss.files import replace_file

SEARCH_KEYS_FILE = "search-keys.json"
_LOCK_FILE = "search-keys.lock"
_MOST_CHARS = 1_000


def read_search_key(folder: Path, engine: str) -> str | None:
    """The key for ``engine``, if there is one. Raises StoreError."""
    return _read(folder).get(engine)


def keep_search_key(folder: Path, engine: str, key: str) -> None:
    """Keep ``key`` in place of the last one. Raises ConfigError for none, and StoreError."""
    if not 0 < len(key) <= _MOST_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"This is no key for {engine}.", key=f"--{engine}", source="stdin")
    with changing_keys(folder, _LOCK_FILE):
        _write(folder, {**_read(folder), engine: key})


def drop_search_keys(folder: Path) -> bool:
    """Forget all of them; whether there were any. Raises StoreError."""
    path = folder / SEARCH_KEYS_FILE
    with changing_keys(folder, _LOCK_FILE):
        if not path.exists():
            return False
        path.unlink()
    return True


def _read(folder: Path) -> dict[str, str]:
    path = folder / SEARCH_KEYS_FILE
    try:
        keys = json.loads(path.read_text("utf-8"))["keys"]
        return {str(name): str(key) for name, key in keys.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"The file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not the cause itself: it may quote what is in there.
        raise StoreError(f"The file {path} is damaged. Remove it, and enable anew.") from None


def _write(folder: Path, keys: Mapping[str, str]) -> None:
    document = {"version": 1, "keys": dict(keys)}
    replace_file(folder / SEARCH_KEYS_FILE, json.dumps(document, indent=2).encode())
