"""The other ranks' processes: started here or by ssh, heard, and ended whatever they do."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Sequence

from mlxoss.engine.ranks.values import Seat
from mlxoss.hosts import Host, over_ssh, own_command, to_exec

logger = logging.getLogger(__name__)

_CONNECT_S = 10
_MOST_LINE = 2000
_KILL_S = 5.0


class RankProcess:
    """One rank's process, told its ``seat``. Ending this process closes its standard input, by
    which it knows that it is to end too. What it writes to its standard error is logged here.
    """

    def __init__(self, host: Host, seat: Seat) -> None:
        self.rank = seat.rank
        self.host = host
        self.pid: int | None = None
        """Its number on its own machine, once it has told it."""
        self.last_line = ""
        # A session of its own: Ctrl-C at the terminal is for rank 0 to hear.
        self._process = subprocess.Popen(
            _command(host),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._log = threading.Thread(target=self._pass_on, name=f"rank {self.rank}", daemon=True)
        self._log.start()
        with contextlib.suppress(OSError):  # it has ended already, which is noticed
            self._process.stdin.write(seat.to_line())
            self._process.stdin.flush()

    @property
    def ended(self) -> str | None:
        """How it ended, ``None`` while it runs (or ssh does)."""
        code = self._process.poll()
        if code is None:
            return None
        self._log.join(1.0)
        how = f"exit status {code}" if code >= 0 else f"signal {-code}"
        return f"{how}: {self.last_line}" if self.last_line else how

    def wait(self, patience_s: float) -> str | None:
        """``ended`` once it has, or after ``patience_s``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self.ended

    def kill(self) -> None:
        """End it now, also where it is stopped. Within seconds."""
        is_there = self._process.poll() is None
        self._process.kill()
        self.close()
        if self.host.is_local or self.pid is None or not is_there:
            return
        command = over_ssh(self.host.ssh, f"kill -9 {self.pid}", connect_s=_CONNECT_S)
        try:
            subprocess.run(command, capture_output=True, timeout=_KILL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("rank %d on %s may still run: %s", self.rank, self.host.ssh, error)

    def close(self) -> None:
        """Wait for its end, and let go of it."""
        self._process.wait()
        self._log.join(1.0)  # longer where ssh has left a connection behind for others
        for pipe in (self._process.stdin, self._process.stderr):
            assert pipe is not None
            if not self._log.is_alive():
                with contextlib.suppress(OSError):  # what it never read
                    pipe.close()

    def _pass_on(self) -> None:
        assert self._process.stderr is not None
        while line := self._process.stderr.readline(_MOST_LINE):
            if text := line.decode("utf-8", "replace").rstrip():
                self.last_line = text
                logger.info("rank %d: %s", self.rank, text)


def _command(host: Host) -> list[str]:
    words = own_command("rank")
    return words if host.is_local else over_ssh(host.ssh, to_exec(words), connect_s=_CONNECT_S)


def end_all(processes: Sequence[RankProcess], patience_s: float) -> None:
    """Give them ``patience_s`` to end by themselves, then end them."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and any(p.ended is None for p in processes):
        time.sleep(0.02)
    for process in processes:
        if process.ended is None:
            process.kill()
        else:
            process.close()
