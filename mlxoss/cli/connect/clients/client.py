"""What is known of a client: how it is found, what its files have to say, how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Keys

OURS = "mlxoss"
"""The name under which this server stands in files of settings."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose files they are: ``home``, what ``env`` says of folders, and ``sys.platform``."""

    home: Path
    env: Mapping[str, str]
    platform: str

    def config(self, *names: str) -> Path:
        """Where programs of a shell keep settings, on a Mac too."""
        return self.folder("XDG_CONFIG_HOME", ".config").joinpath(*names)

    def support(self, *names: str) -> Path:
        """Where programs with windows keep them."""
        if self.platform == "darwin":
            return self.home.joinpath("Library", "Application Support", *names)
        return self.config(*names)

    def folder(self, variable: str, *names: str) -> Path:
        """The folder that ``variable`` names, else the one below ``home``."""
        named = self.env.get(variable)
        return Path(named).expanduser() if named else self.home.joinpath(*names)


@dataclass(frozen=True, slots=True)
class SettingsPlace:
    """Our part of a file, and where in the file the server's address and the key stand.

    ``key`` is text for a variable that the client reads.
    """

    part: SettingsPart
    url: Keys
    key: Keys | str


@dataclass(frozen=True, slots=True)
class Launch:
    """Variables and first words for a client's program; it is run ``without`` some variables."""

    env: Mapping[str, str]
    words: Sequence[str] = ()
    without: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A client.

    ``programs`` are looked for on the PATH, ``apps`` among a Mac's applications; ``source`` says
    how to get it, ``note`` what is left to do once its files are written. ``has_key``: a file holds
    the key itself, since the client takes none from the environment.
    """

    about: str
    source: str
    programs: Sequence[str] = ()
    apps: Sequence[str] = ()
    places: Callable[[Account, Served], Sequence[SettingsPlace]] | None = None
    launch: Callable[[Served], Launch] | None = None
    note: str = ""
    has_key: bool = False
