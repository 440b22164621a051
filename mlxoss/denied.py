"""What to say of a file that the system does not let this program read or write."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

PRIVACY = "System Settings > Privacy & Security > Full Disk Access"
"""Where macOS lets a program read what it closes to background services."""


def allow_python() -> str:
    """How to let the Python that runs this read such folders, as the end of a sentence."""
    return (
        f"allow {running_python(sys.executable)} in {PRIVACY} (or Files and Folders, Removable "
        "Volumes), then `mlxoss restart`; or keep it outside Documents, Desktop, Downloads, cloud "
        "folders and /Volumes"
    )


def running_python(executable: str) -> Path:
    """The program that macOS asks about where ``executable`` runs, itself or by links.

    A framework's ``python`` hands over to an application beside it (CPython, Mac/Tools/pythonw.c).
    """
    real = Path(os.path.realpath(executable))
    app = real.parent.parent / "Resources" / "Python.app"
    return app if app.is_dir() else real


def explain_denied(error: OSError) -> str | None:
    """What to do about ``error``, as the end of a sentence; ``None`` where nothing was denied.

    EPERM is macOS's answer for what its privacy settings close to a program, whoever owns it and
    whatever its mode (TCC); a file's own mode and owner answer EACCES.
    """
    if error.errno == errno.EPERM:
        return f"on a Mac, {allow_python()}"
    if error.errno == errno.EACCES:
        return f"its mode or owner, or a folder's above it, shuts user {os.getuid()} out"
    return None


def why(error: OSError) -> str:
    """The system's words for ``error``, and where to allow what macOS's privacy settings deny."""
    said = error.strerror or str(error)
    return f"{said}: on a Mac, {allow_python()}" if error.errno == errno.EPERM else said
