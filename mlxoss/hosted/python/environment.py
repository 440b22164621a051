"""The packages that cells may import: in an environment of their own, under the data folder.

Its name tells which packages it has, for which Python: after a change of either it is another one,
which `mlxoss tools enable python` makes. Cells use its packages alone, not its interpreter.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlxoss.errors import ConfigError
from mlxoss.hosted.python import folder
from mlxoss.paths import make_private_folder

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""What is installed, by versions and hashes (``Formula/requirements.py`` makes and judges it)."""

_FOLDER = "python"
_COMPLETE = "complete"
_REMEDY = "mlxoss tools enable python"


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is complete, or is to be made."""

    folder: Path

    @property
    def packages(self) -> Path:
        """Where modules are imported from."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    @property
    def fonts(self) -> Path:
        """matplotlib's list of fonts, which every worker gets a copy of."""
        return self.folder / "fonts"

    @property
    def is_complete(self) -> bool:
        """Whether it was made to the end."""
        return (self.folder / _COMPLETE).exists()


def environment_in(data: Path) -> Environment:
    """The environment that this version of mlxoss uses, made or not."""
    fields = (sysconfig.get_platform(), sysconfig.get_python_version())
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + repr(fields).encode()).hexdigest()
    return Environment((data / _FOLDER).resolve() / digest[:16])


def find_environment(data: Path) -> Environment:
    """It; raises ``ConfigError`` unless it is complete."""
    found = environment_in(data)
    if not found.is_complete:
        others = any((data / _FOLDER).glob(f"*/{_COMPLETE}"))
        has = "Python's packages are of another version" if others else "it has no packages yet"
        raise ConfigError(f"{has}: run `{_REMEDY}`.")
    return found


def make_environment(data: Path, say: Callable[[str], None]) -> Environment:
    """Make it unless it is complete; others are removed. Raises ``ConfigError``.

    pip asks the registry that it is set up for; it takes wheels with the hashes in ``REQUIREMENTS``
    alone, so nothing is built and nothing of theirs is run.
    """
    made = environment_in(data)
    if made.is_complete:
        say("The packages are there already.")
        return made
    make_private_folder(made.folder.parent)
    for each in made.folder.parent.iterdir():
        folder.remove(each)
    say(f"Installing the packages into {made.folder} ...")
    base = getattr(sys, "_base_executable", None) or sys.executable
    _run([base, "-I", "-m", "venv", str(made.folder)], "Python's own venv")
    pip = [str(made.folder / "bin" / "python"), "-I", "-m", "pip", "install", "--no-input"]
    pip += ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
    _run([*pip, "--requirement", str(REQUIREMENTS)], "pip")
    return made


def complete(environment: Environment, fonts: Path) -> None:
    """Say that it is whole: it was tried, and ``fonts`` is what matplotlib found."""
    if fonts.is_dir():
        shutil.copytree(fonts, environment.fonts, dirs_exist_ok=True)
    (environment.folder / _COMPLETE).touch()


def remove_environments(data: Path) -> bool:
    """Remove all; whether there was any. Raises ``OSError``."""
    parent = data / _FOLDER
    if not parent.is_dir():
        return False
    folder.remove(parent)
    return True


def _run(words: list[str], what: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigError(f"{what} cannot be run: {error}.") from None
    if done.returncode:
        told = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise ConfigError(f"{what} failed: {' '.join(told[-3:]) or 'it says nothing'}")
