"""Which path to the ``mlxoss`` command stays valid across upgrades."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.service.guarded import closed_place

_CELLAR = re.compile(r"(?P<prefix>.*)/Cellar/(?P<name>[^/]+)/[^/]+/(?P<rest>.+)")
_PASSING = (
    re.compile(r"/(?:\.cache|Library/Caches)/(?:uv|pipx)/"),
    re.compile(r"/(?:archive-v\d+|builds-v\d+|environments-v\d+)/"),
    re.compile(r"/pipx/\.cache/"),
)


@dataclass(frozen=True, slots=True)
class Program:
    """A path for the service's definition, with what is doubtful about it.

    ``refusal`` says why it cannot be used, ``warning`` why it may stop working.
    """

    path: Path
    refusal: str | None = None
    warning: str | None = None


def find_program(argv0: str, *, search_path: str | None = None) -> Path:
    """Return the running command's absolute path, with symbolic links left as they are.

    A link (``~/.local/bin``, ``<prefix>/bin``) is what an upgrade moves on; what it points
    to today is what an upgrade removes. Raises ``ServiceError`` when there is no command
    called ``mlxoss``, as under ``python -m``.
    """
    path = Path(os.path.abspath(argv0))
    if path.name == "mlxoss" and os.access(path, os.X_OK):
        return path
    found = shutil.which("mlxoss", path=search_path)
    if found is None:
        raise ServiceError(
            "there is no mlxoss command that the service could run",
            remedy="Install the package so that `mlxoss` is on the PATH, and use that command.",
        )
    return Path(os.path.abspath(found))


def stable_program(path: Path, home: Path) -> Program:
    """Return the path to write into a definition, and what speaks against it."""
    path = _out_of_the_cellar(path)
    text = str(path)
    if any(pattern.search(text) for pattern in _PASSING):
        return Program(path, refusal="it lies in the cache of a one-off run (uvx, pipx run)")
    if place := closed_place(path, home):
        return Program(
            path, refusal=f"it lies in {place}, which macOS closes to background services"
        )
    if any(path.is_relative_to(folder) for folder in _temporary_folders()):
        return Program(path, warning="it lies in a temporary folder and goes when that is emptied")
    return Program(path)


def _out_of_the_cellar(path: Path) -> Path:
    """Turn a path of one version of a Homebrew formula into that of its current one."""
    for candidate in (path, path.parent / os.readlink(path) if path.is_symlink() else path):
        found = _CELLAR.fullmatch(os.path.normpath(candidate))
        if found:
            stable = Path(found["prefix"], "opt", found["name"], found["rest"])
            return stable if stable.exists() else path
    return path


def _temporary_folders() -> set[Path]:
    # Where no program may lie; nothing is written there.
    named = {"/tmp", "/var/tmp"}  # noqa: S108  # nosec B108
    named |= {"/var/folders", "/private/tmp", "/private/var/folders"}
    return {Path(name) for name in named | {tempfile.gettempdir()}}
