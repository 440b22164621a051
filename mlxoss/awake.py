"""Keeps this machine from falling asleep by itself while it works.

macOS asks nobody before an idle Mac sleeps, and a turn is not what it calls being busy. A child
``caffeinate -i -w PID`` holds an assertion against that, against idle system sleep and nothing
else: the display goes dark as ever. Whatever becomes of this process, crash and ``kill -9``
included, the child ends with it (``-w``), and the assertion with the child. IOKit's own call would
do as much without a process, but a mistake in it could take the daemon down, and a command that
fails says so by its exit status. Source: caffeinate(8).
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum

from mlxoss.findings import DaemonProblem

logger = logging.getLogger(__name__)

CAFFEINATE = "/usr/bin/caffeinate"
CAFFEINATE_VARIABLE = "MLXOSS_CAFFEINATE"
"""Names another ``caffeinate``, and has it used on any system."""

LINGER_S = 10.0
"""How much longer it is held after the last turn: an agent's tools take seconds between two."""


class AwakeState(StrEnum):
    """Whether idle sleep is held off at the moment, and what else may be said of it.

    ``ready``: nothing runs, so nothing is held. ``off``: nobody wants it, by the settings.
    ``unsupported``: this system has no ``caffeinate``. ``failed``: it could not be held.
    """

    HELD = "held"
    READY = "ready"
    OFF = "off"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


def find_caffeinate(platform: str, env: Mapping[str, str]) -> str | None:
    """The command that holds sleep off; ``None`` where there is none. ``platform`` as sys's."""
    return env.get(CAFFEINATE_VARIABLE) or (CAFFEINATE if platform == "darwin" else None)


class Awake:
    """Holds idle sleep off from ``want(True)`` until ``linger_s`` after ``want(False)``.

    All methods may be called on any thread and return at once, but ``close``; a thread of its own
    starts and ends the child. One that ends by itself, or cannot be started, is not replaced
    before it is wanted anew.
    """

    def __init__(
        self, command: str | None, *, is_on: bool = True, linger_s: float = LINGER_S
    ) -> None:
        self._command = command
        self._is_on = is_on
        self._linger_s = linger_s
        self._change = threading.Condition()
        self._is_wanted = False
        self._wish = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: str | None = None
        self._failed_at = 0.0

    def want(self, is_wanted: bool) -> None:
        """Say that something runs, or that nothing does any more."""
        if self._command is None or not self._is_on:
            return
        with self._change:
            self._wish += is_wanted and not self._is_wanted
            self._is_wanted = is_wanted
            if is_wanted and self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._main, name="awake", daemon=True)
                self._thread.start()
            self._change.notify_all()

    @property
    def is_on(self) -> bool:
        """Whether the settings want it; for other machines, what this one can is of no account."""
        return self._is_on

    @property
    def state(self) -> AwakeState:
        """How it is."""
        if not self._is_on:
            return AwakeState.OFF
        if self._command is None:
            return AwakeState.UNSUPPORTED
        if self.failure is not None:
            return AwakeState.FAILED
        return AwakeState.READY if self._child is None else AwakeState.HELD

    @property
    def failure(self) -> str | None:
        """Why it could not be held when that was last wanted, as the end of a sentence."""
        child = self._child
        if child is not None and (code := child.poll()) is not None:
            self._fail(f"{self._command} ended ({_how(code)})")
        return self._failure

    def _fail(self, why: str) -> None:
        if self._failure is None:
            logger.warning("idle sleep is not held off: %s", why)
            self._failed_at = time.time()
            self._failure = why

    def to_json(self) -> dict[str, str]:
        """The ``awake`` object of ``/health``."""
        report, failure = {"state": self.state.value}, self.failure
        return report if failure is None else report | {"error": failure}

    def problem(self) -> DaemonProblem | None:
        """Whether the machine may fall asleep although that is not wanted."""
        failure = self.failure
        if failure is None:
            return None
        message = f"The Mac may fall asleep while requests run: {failure}."
        remedy = "It is tried again with the first request after a pause."
        return DaemonProblem("may_sleep", message, remedy, self._failed_at)

    def close(self) -> None:
        """Hold nothing from here on; returns once the child has gone."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _main(self) -> None:
        while self._wait_until_wanted():
            self._start()
            self._wait_until_idle()
            self._end()

    def _wait_until_wanted(self) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._is_wanted or self._is_closed)
            return not self._is_closed

    def _wait_until_idle(self) -> None:
        """Until it has not been wanted for ``linger_s``, or what failed is wanted anew."""
        with self._change:
            while self._is_wanted_again():
                if self.failure is not None:
                    return

    def _is_wanted_again(self) -> bool:
        """Wait for the end of a wish; whether another one came within ``linger_s`` of it."""
        wish = self._wish

        def is_new() -> bool:
            return self._wish != wish or self._is_closed

        self._change.wait_for(lambda: not self._is_wanted or is_new())
        return self._change.wait_for(is_new, self._linger_s) and not self._is_closed

    def _start(self) -> None:
        assert self._command is not None
        self._failure = None
        try:
            # Nothing is closed for it, since then Python need not fork a process that holds a
            # model: it spawns. (What Python opens is never inherited anyway.)
            self._child = subprocess.Popen(
                [self._command, "-i", "-w", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                close_fds=False,
            )
        except OSError as error:
            self._fail(f"{self._command} cannot be run ({error.strerror})")

    def _end(self) -> None:
        child = self._child
        if child is None:
            return
        # At the end of all a child that has gone is no failure: Ctrl-C reaches it too.
        if self._is_closed or self.failure is None:
            child.terminate()
        child.wait()
        self._child = None


@contextlib.contextmanager
def awake_while(*, is_on: bool) -> Iterator[None]:
    """Hold idle sleep off inside, where this system can and ``is_on`` says so."""
    awake = Awake(find_caffeinate(sys.platform, os.environ), is_on=is_on, linger_s=0.0)
    awake.want(True)
    try:
        yield
    finally:
        awake.close()


def _how(code: int) -> str:
    return f"exit status {code}" if code >= 0 else f"signal {-code}"
