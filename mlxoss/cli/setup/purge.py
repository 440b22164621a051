"""What ``mlxoss uninstall --purge`` removes: everything of ours but the models."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlxoss import paths


def purged(env: Mapping[str, str]) -> list[Path]:
    """Return the folders of settings, state, logs and cache that exist.

    Weights lie in the Hugging Face cache, which other programs share, and are not among them.
    """
    folders = [
        paths.config_file(env).parent,
        paths.data_dir(env),
        paths.log_dir(env),
        paths.cache_dir(env),
    ]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def purge_folders(folders: Iterable[Path]) -> Iterator[Path]:
    """Remove them, yielding each that is gone. A folder inside an earlier one goes with it."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            yield folder
