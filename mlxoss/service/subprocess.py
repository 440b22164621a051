"""Runs the service managers' commands: a list, a time limit, no shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlxoss.errors import ServiceError


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended: its exit status (negative: a signal) and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The first line of its complaint, for a message."""
        return next(iter((self.err or self.out).strip().splitlines()), f"exit status {self.code}")


class RunCommand(Protocol):
    """Runs one command to its end; raises ``ServiceError`` if that is not possible."""

    def __call__(self, command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
        """Run ``command``."""
        ...


def run_command(command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
    """Run ``command`` with English messages and without input.

    Raises ``ServiceError`` when it does not exist or takes longer than ``timeout_s``.
    """
    name = " ".join([Path(command[0]).name, *command[1:2]])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            env=os.environ | {"LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{name} did not answer within {timeout_s:g} s") from None
    except OSError as exc:
        raise ServiceError(f"{command[0]} cannot be run: {exc.strerror}") from exc
    return CommandResult(done.returncode, done.stdout, done.stderr)
