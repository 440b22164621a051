"""Which Python runs cells, and what it must be able to read."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_LINUX = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_MAC = (
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/usr/share/zoneinfo.default",
    "/private/var/db/timezone",
    "/private/var/db/dyld",
    "/System/Library",
    "/System/Cryptexes",
    "/System/Volumes/Preboot/Cryptexes",
)
"""Where each system keeps its own libraries and the rules of time zones: the same for all users."""

_HOMEBREW = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
_KEGS = ("Cellar", "opt")
_MACPORTS = Path("/opt/local/lib")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The base interpreter, without anybody's packages."""

    program: Path
    readable: tuple[Path, ...]


def find_interpreter(platform: str = sys.platform) -> Interpreter:
    """The one that this process runs on."""
    program = _program(platform)
    system = _MAC if platform == "darwin" else _LINUX
    # Not those of the virtual environment that this process may run in.
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    own = [Path(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")]
    paths = [*map(Path, system), *own, *_libraries(), *_kegs(), program]
    return Interpreter(program, tuple(dict.fromkeys(path.resolve() for path in paths)))


def _program(platform: str) -> Path:
    """A framework's ``python3`` only starts the program inside its bundle, so that is taken."""
    base = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    bundled = Path(sys.base_prefix) / "Resources/Python.app/Contents/MacOS/Python"
    return bundled.resolve() if platform == "darwin" and bundled.exists() else base


def _libraries() -> list[Path]:
    """The interpreter's own library, where it is one (``libpython``, a framework)."""
    folder, name = (sysconfig.get_config_var(each) for each in ("LIBDIR", "LDLIBRARY"))
    found = [Path(folder, name)] if folder and name else []
    if framework := sysconfig.get_config_var("PYTHONFRAMEWORK"):
        found += [Path(sys.base_prefix, framework), Path(sys.base_prefix, "Resources")]
    libraries = [path for path in found if path.exists()]
    links = [path.with_name(os.readlink(path)) for path in libraries if path.is_symlink()]
    return [*libraries, *links]


def _kegs() -> list[Path]:
    """Libraries of Homebrew and MacPorts, which interpreters are linked to (OpenSSL, SQLite), those
    of pyenv too: programs and no settings."""
    kegs = [Path(prefix, name) for prefix in _HOMEBREW for name in _KEGS]
    with_cellar = [path for path in kegs if path.with_name("Cellar").is_dir() and path.is_dir()]
    return [*with_cellar, *([_MACPORTS] if _MACPORTS.is_dir() else [])]
