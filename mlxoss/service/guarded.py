"""Folders that macOS closes to background services, whatever a terminal may read there.

Apple's privacy settings (TCC) ask a person before a program reads these; an agent of launchd is
not asked about but refused, with EPERM. What launchd opens itself there (the working folder, the
file that takes stderr) it cannot open at all, and ends the job with 78.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from mlxoss.config import Config
from mlxoss.denied import allow_python
from mlxoss.findings import Check, Level
from mlxoss.paths import folders, hub_cache

_IN_HOME = (
    *("Documents", "Desktop", "Downloads"),
    *("Library/Mobile Documents", "Library/CloudStorage"),  # iCloud's, and other clouds'
)
_VOLUMES = Path("/Volumes")
_NAME = "folders"


def closed_place(path: Path, home: Path) -> str | None:
    """The closed folder that ``path`` lies in, itself or by way of links; ``None`` for others."""
    real = Path(os.path.realpath(path)), Path(os.path.realpath(home))
    for each, base in ((path, home), real):
        for name in _IN_HOME:
            if _within(each, base / name):
                return f"~/{name}"
        # The disk of the system has a link there.
        if each == real[0] and _within(each, _VOLUMES) and each != _VOLUMES:
            return str(Path(*each.parts[:3]))
    return None


def _within(path: Path, folder: Path) -> bool:
    """Whether ``folder`` holds ``path``, in the letters' case or another (APFS passes it over)."""
    return Path(str(path).casefold()).is_relative_to(str(folder).casefold())


def check_folders(config: Config, env: Mapping[str, str], home: Path) -> Iterator[Check]:
    """Whether launchd and the daemon may read what they have to.

    Fails for what launchd opens, which nothing allows; warns of what the daemon reads, which a
    person may have allowed.
    """
    found = 0
    for name, path in _of_launchd(env):
        if place := closed_place(path, home):
            found += 1
            detail = f"{name} {path}: it lies in {place}, which macOS closes to launchd"
            remedy = "Keep them elsewhere: mlxoss install --env MLXOSS_HOME=FOLDER"
            yield Check(_NAME, Level.FAIL, detail, remedy)
    for name, path in _of_the_daemon(config, env):
        if place := closed_place(path, home):
            found += 1
            detail = f"{name} {path}: it lies in {place}, which macOS closes to services"
            remedy = f"Say yes if macOS asks; if it does not and refuses, {allow_python()}."
            yield Check(_NAME, Level.WARN, detail, remedy)
    if not found:
        yield Check(_NAME, Level.OK, "none lies where macOS lets no service read")


def _of_launchd(env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    places = folders(env)
    yield "the working folder", places["keys and state"]
    yield "launchd's log in", places["logs"]


def _of_the_daemon(config: Config, env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    places = folders(env)
    yield "the settings", places["settings"]
    yield "the prefix cache", places["the prefix cache"]
    if config.model is not None:
        folder = Path(config.model).expanduser()
        if folder.is_absolute() or folder.is_dir():
            yield "model", folder.absolute()
        else:
            yield "the models' cache (HF_HOME)", hub_cache(env)
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(value, Path):
            yield each.name, value
