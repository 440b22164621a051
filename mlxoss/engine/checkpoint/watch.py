"""Tells when a model's files are no longer those that were read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mlxoss.engine.checkpoint.folder import read_checkpoint
from mlxoss.errors import ModelError
from mlxoss.problems import Problem

_Stamp = tuple[int, int, int] | None
_Stamps = tuple[tuple[Path, _Stamp], ...]
_ADVICE = "put the files back, or pull the model anew"


class ModelFiles:
    """The files of the checkpoint in ``folder``; ``None`` for the demo, which is made anew.

    MLX has read all of them when a model is loaded, so what becomes of them then matters only
    when it is loaded again. ``note`` and ``problem`` may be called on different threads.
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._noted: _Stamps | None = None
        self._judged: tuple[_Stamps, Problem] | None = None

    def note(self) -> None:
        """Take the files as they are for those that are read. Call before reading."""
        if self._folder is not None:
            files = [*self._folder.glob("*.json"), *self._folder.glob("model*.safetensors")]
            self._noted = _stamp_all(files)

    def problem(self) -> Problem | None:
        """What has changed since, if anything. Microseconds, unless it just did."""
        if self._folder is None or self._noted is None:
            return None
        found = _stamp_all(file for file, _ in self._noted)
        if found == self._noted:
            return None
        if self._judged is None or self._judged[0] != found:
            self._judged = found, self._judge(self._folder)
        return self._judged[1]

    def _judge(self, folder: Path) -> Problem:
        message = f"The model's files in {folder} have changed since they were read; until it is "
        try:
            read_checkpoint(folder, _ADVICE)
        except ModelError as error:
            message += f"loaded again it answers as before, and then it will fail: {error}"
            return Problem("model_damaged", message, "Then `mlxoss restart`.", self._clock())
        message += "loaded again it answers as before."
        remedy = "`mlxoss restart` loads what is there now."
        return Problem("model_changed", message, remedy, self._clock())


def _stamp_all(files: Iterable[Path]) -> _Stamps:
    return tuple((file, _stamp(file)) for file in files)


def _stamp(file: Path) -> _Stamp:
    """Size, time and inode, links followed; opens nothing."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
