"""API keys, and the token by which this machine's own commands talk to the daemon.

Three files in the data folder, each its owner's alone (0600) and replaced whole:

- ``keys.json``: the keys' names and SHA-256 hashes. Only commands write it, one at a time.
- ``key-uses.json``: when each was last used, by hash. Only daemons write it, so that no
  daemon can ever bring a revoked key back or lose one just made.
- ``local.token``: a new token at every start of a daemon. Whoever reads this folder is the
  owner, and a program that took the daemon's port while it was down learns nothing of use.

A key has 256 random bits, so its bare hash cannot be turned back by guessing.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlxoss.errors import ConfigError, MlxossError, StoreError
from mlxoss.files import locked, replace_file

KEYS_FILE = "keys.json"
USES_FILE = "key-uses.json"
TOKEN_FILE = "local.token"  # noqa: S105 (its name)
PREFIX = "mlx-"

_LOCK_FILE = "keys.lock"
_RANDOM_BYTES = 32
_NAME_CHARS = 64


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: ``hash`` is hexadecimal, ``created_at`` a Unix time in seconds."""

    name: str
    hash: str
    created_at: float


def hash_token(token: str) -> str:
    """The hash under which a key or token is kept and compared."""
    import hashlib  # with it comes OpenSSL, and `mlxoss status` must be quick

    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(folder: Path) -> tuple[Key, ...]:
    """Every key, in the order in which they were made; none if there is no file.

    Raises ``StoreError`` when the file is damaged or cannot be read.
    """
    path = folder / KEYS_FILE
    document = _read_json(path)
    if document is None:
        return ()
    try:
        return tuple(
            Key(str(entry["name"]), str(entry["hash"]), float(entry["created_at"]))
            for entry in document["keys"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, repr(error)) from None


def create_key(folder: Path, name: str, now: float) -> str:
    """Make a key called ``name`` and return it: this is the only time that it is known.

    It is on the disk on return. Raises ``ConfigError`` for a name that is none or taken,
    ``StoreError`` when it cannot be kept.
    """
    _check_name(name)
    token = PREFIX + _random_text()
    with changing_keys(folder):
        keys = read_keys(folder)
        if any(key.name == name for key in keys):
            message = f"There is a key {name!r} already; revoke it first, or choose another name."
            raise ConfigError(message, key="NAME", source="command line")
        _write_keys(folder, (*keys, Key(name, hash_token(token), now)))
    return token


def revoke_key(folder: Path, name: str) -> int:
    """Take the key called ``name`` away; return how many are left.

    Raises ``MlxossError`` if there is none, ``StoreError`` when the rest cannot be kept.
    """
    with changing_keys(folder):
        keys = read_keys(folder)
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            raise MlxossError(f"There is no key {name!r}; see: mlxoss key list")
        _write_keys(folder, left)
    return len(left)


def read_uses(folder: Path) -> dict[str, float]:
    """When each key was last used (Unix time) by its hash; empty if that cannot be told."""
    try:
        document = _read_json(folder / USES_FILE) or {}
        return {str(key): float(at) for key, at in document.items()}
    except (StoreError, AttributeError, TypeError, ValueError):
        return {}


def write_uses(folder: Path, uses: Mapping[str, float]) -> None:
    """Note ``uses`` beside those noted before; the later time counts. Raises ``OSError``."""
    merged = read_uses(folder)
    for key, at in uses.items():
        merged[key] = max(at, merged.get(key, at))
    replace_file(folder / USES_FILE, json.dumps(merged).encode())


def make_local_token(folder: Path) -> None:
    """Put a new token in place of the last one. Raises ``StoreError``."""
    path = folder / TOKEN_FILE
    try:
        replace_file(path, f"{PREFIX}local-{_random_text()}".encode())
    except OSError as error:
        raise StoreError(f"The file {path} cannot be written: {error.strerror}.") from error


def read_local_token(folder: Path) -> str | None:
    """The token of the daemon that runs, or last ran; ``None`` if there is none to read."""
    try:
        return (folder / TOKEN_FILE).read_text("ascii") or None
    except (OSError, UnicodeError):
        return None


def _random_text() -> str:
    return base64.urlsafe_b64encode(os.urandom(_RANDOM_BYTES)).decode("ascii").rstrip("=")


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > _NAME_CHARS:
        message = f"A key's name has 1 to {_NAME_CHARS} visible characters, not {name!r}."
        raise ConfigError(message, key="NAME", source="command line")


@contextmanager
def changing_keys(folder: Path, lock_file: str = _LOCK_FILE) -> Iterator[None]:
    """One command at a time; what the disk refuses is a ``StoreError``."""
    try:
        with locked(folder / lock_file):
            yield
    except OSError as error:
        message = f"The keys in {folder} cannot be changed: {error.strerror or error}."
        raise StoreError(message) from error


def _write_keys(folder: Path, keys: tuple[Key, ...]) -> None:
    document = {"version": 1, "keys": [asdict(key) for key in keys]}
    replace_file(folder / KEYS_FILE, json.dumps(document, indent=2).encode())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"The file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"The file {path} is damaged ({why}). Remove it, and make the keys anew with: "
        "mlxoss key create NAME"
    )
