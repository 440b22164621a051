"""What the sequences in ``manager`` need of a service manager."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlxoss.service.job import Found
from mlxoss.service.spec import Definition, ServiceSpec


@dataclass(frozen=True, slots=True)
class Polling:
    """How long things may take, in seconds, and the clock that says so.

    ``grace_s`` is allowed on top of the service's own exit time-out.
    """

    poll_s: float = 0.1
    retry_s: float = 0.5
    grace_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until(self, check: Callable[[], bool], limit_s: float) -> bool:
        """Poll ``check`` until it holds; ``False`` if it did not within ``limit_s``."""
        end = self.clock() + limit_s
        while not check():
            if self.clock() >= end:
                return False
            self.sleep(self.poll_s)
        return True


class Supervisor(Protocol):
    """One service manager, and our service in it. Every method may raise ``ServiceError``."""

    @property
    def name(self) -> str:
        """The manager's name."""
        ...

    @property
    def definition(self) -> Path:
        """The file that makes the service start at login."""
        ...

    @property
    def log_hint(self) -> str:
        """The command that shows what the manager itself logged."""
        ...

    def render(self, spec: ServiceSpec) -> bytes:
        """Return the definition's bytes."""
        ...

    def read(self, data: bytes) -> Definition | None:
        """Read a definition back; ``None`` if it is not one."""
        ...

    def query(self) -> Found:
        """Ask for the service's state; never raises."""
        ...

    def is_disabled(self) -> bool:
        """Tell whether the user's override keeps the service from starting at login."""
        ...

    def rival(self) -> str | None:
        """Return the name of another service that runs the same program."""
        ...

    def register(self) -> tuple[str, ...]:
        """Make the definition known and start it, whatever was known before.

        Returns remarks for the user. On return the process has been spawned or has failed to.
        """
        ...

    def kick(self) -> None:
        """Start the registered service if it is not running, as ``register`` does."""
        ...

    def unregister(self) -> bool:
        """Stop the service gracefully and forget it until the next login.

        Returns after the process has gone; ``False`` if nothing was there.
        """
        ...

    def terminate(self) -> bool:
        """Ask the process to stop (SIGTERM) and return at once; ``False`` if there is none."""
        ...

    def replace(self) -> None:
        """Kill the process and start another: for one that does not stop when asked."""
        ...

    def disable(self) -> None:
        """Keep the service from starting at login until it is enabled again."""
        ...

    def enable(self) -> None:
        """Let it start at login again."""
        ...

    def forget(self) -> None:
        """Leave no override behind; called after the definition was removed."""
        ...
