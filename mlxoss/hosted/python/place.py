"""Where a worker runs: the folders that it sees."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from mlxoss.hosted.python import folder
from mlxoss.hosted.python.worker.data_paths import SHOWN


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Where a worker runs: ``folder`` is all that it may write, ``outside`` a file beside it."""

    folder: Path
    outside: Path
    packages: tuple[Path, ...] = ()
    fonts: Path | None = None

    @property
    def data(self) -> Path:
        """What is ``/mnt/data`` in a cell."""
        return self.folder / "data"

    @property
    def temporary(self) -> Path:
        """The home and the folder of temporary files."""
        return self.folder / "tmp"

    @property
    def shown(self) -> dict[str, str]:
        """What is shown in the place of real paths."""
        own = {str(self.data): SHOWN, str(self.temporary): "/tmp"}  # noqa: S108  # nosec B108
        packages = {str(path): "/python/site-packages" for path in self.packages}
        return {**own, **packages, sysconfig.get_path("stdlib"): "/python/lib"}

    def make(self) -> None:
        """Make the folders that are missing, or that cells have put something in the place of."""
        for each in (self.folder, self.data, self.temporary):
            folder.make(each)
