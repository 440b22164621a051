"""Where the commands of MCP servers are looked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_USUAL = ("~/.local/bin", "~/.bun/bin", "~/.deno/bin", "/opt/homebrew/bin", "/usr/local/bin")
"""Behind the PATH: a service manager's is short, and npx and uvx stand here."""


def search_path(env: Mapping[str, str]) -> str:
    """The PATH of ``env``, and the usual places behind it."""
    home = env.get("HOME") or str(Path.home())
    usual = [folder.replace("~", home) for folder in _USUAL]
    folders = [*env.get("PATH", os.defpath).split(os.pathsep), *usual]
    return os.pathsep.join(dict.fromkeys(filter(None, folders)))


def find_command(command: str, env: Mapping[str, str], cwd: str | None = None) -> str | None:
    """The program's path, ``None`` if there is none that can be run."""
    if os.sep in command:
        command = os.path.join(cwd or "", command)
    return shutil.which(command, path=search_path(env))
