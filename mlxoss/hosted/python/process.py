"""One worker process: how it is started, asked and ended. The event loop's thread."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeGuard

from mlxoss.hosted.python.interpreter import Interpreter
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.place import WorkerPlace
from mlxoss.hosted.python.printed import Printed
from mlxoss.hosted.python.seatbelt import make_profile, sandbox_command
from mlxoss.hosted.python.use import read_use
from mlxoss.hosted.python.worker import frames
from mlxoss.outcomes import ToolImage

_OURS = Path(__file__).resolve().parent
_BOOT = """
import sys, types
for name in ("mlxoss", "mlxoss.hosted", "mlxoss.hosted.python"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
sys.modules["mlxoss.hosted.python"].__path__ = [sys.argv.pop()]
from mlxoss.hosted.python.worker.main import main
main()
"""
"""Imports the worker from its folder and no other: no package of this environment is in reach."""
_DEVICES = ("/dev/null", "/dev/zero")
_RANDOM = ("/dev/random", "/dev/urandom")
_PNG = b"\x89PNG\r\n\x1a\n"


class WorkerRefused(Exception):
    """The worker cannot be shut in, or did not start; the text says why."""


class WorkerLost(Exception):
    """The worker ended, or says what none of ours would."""


class WorkerProcess:
    """A process in its sandbox. ``start`` makes it; ``kill`` ends it, whatever it does."""

    def __init__(self, place: WorkerPlace, interpreter: Interpreter, limits: Limits) -> None:
        self._place = place
        self._interpreter = interpreter
        self._limits = limits
        self._control, theirs = socket.socketpair()
        self._output, writing = os.pipe()
        os.set_blocking(self._output, False)
        try:
            place.make()
            self._popen = self._spawn(theirs, writing)
        except BaseException:
            self._control.close()
            os.close(self._output)
            raise
        finally:
            theirs.close()
            os.close(writing)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.printed = Printed(self._output, limits.shown)

    @property
    def pid(self) -> int:
        """Its number, which stays its own until ``kill`` or ``ended`` has returned."""
        return self._popen.pid

    def _spawn(self, control: socket.socket, output: int) -> subprocess.Popen[bytes]:
        readable = [*self._readable(), _OURS]
        command = make_command(self._interpreter.program, readable, self._place.folder)
        # A group of its own, but no session: when the daemon dies a stopped worker gets SIGHUP
        # (POSIX's rule for orphaned groups) and goes too.
        return subprocess.Popen(
            command,
            stdin=control.fileno(),
            stdout=output,
            stderr=output,
            env=self._environment(),
            cwd=self._place.data,
            process_group=0,
        )

    def _environment(self) -> dict[str, str]:
        """All the variables that code sees: none of the user's."""
        temporary = str(self._place.temporary)
        threads = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "2"
        )
        return {
            "HOME": temporary,
            "TMPDIR": temporary,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": f"{temporary}/matplotlib",
            **threads,
        }

    def _readable(self) -> list[Path]:
        fonts = [] if self._place.fonts is None else [self._place.fonts]
        return [*self._interpreter.readable, *self._place.packages, *fonts]

    def _setup(self) -> frames.Message:
        place, limits = self._place, self._limits
        return {
            "limits": limits.of_the_kernel(),
            "readable": [str(path) for path in (*self._readable(), *map(Path, _RANDOM))],
            "own": [str(place.folder)],
            "devices": list(_DEVICES),
            "outside": str(place.outside),
            "parent": os.getpid(),
            "packages": [str(path) for path in place.packages],
            "data": str(place.data),
            "temporary": str(place.temporary),
            "fonts": None if place.fonts is None else str(place.fonts),
            "images": limits.images,
            "image_bytes": limits.image_bytes,
        }

    def start_and_end(self) -> None:
        """Shut it in and end it again, for who has no event loop; raises ``WorkerRefused``."""
        self._control.settimeout(self._limits.start_s)
        try:
            self._control.sendall(frames.pack(self._setup()))
            header = _receive(self._control, frames.HEADER.size)
            self._check_ready(
                frames.unpack(
                    _receive(self._control, frames.length(header, frames.MOST_FROM_WORKER))
                )
            )
            self._check_told()
        except (OSError, ValueError) as error:
            raise WorkerRefused(self._why_not(str(error))) from None
        finally:
            self.kill()
            self.wait()
            self.close()

    async def start(self) -> None:
        """Shut it in; raises ``WorkerRefused``."""
        loop = asyncio.get_running_loop()
        self._streams = await asyncio.open_unix_connection(sock=self._control)
        loop.add_reader(self._output, self._take_output)
        try:
            async with asyncio.timeout(self._limits.start_s):
                await self._send(self._setup())
                self._check_ready(await self._receive())
            self._check_told()
        except TimeoutError:
            raise WorkerRefused(self._why_not("it did not start in time")) from None
        except WorkerLost as error:
            raise WorkerRefused(self._why_not(str(error))) from None

    def _check_ready(self, message: frames.Message) -> None:
        if message.get("ready") is not True:
            raise WorkerRefused(str(message.get("refused", "it did not start")))

    def _check_told(self) -> None:
        """Without that no watchdog could hold it."""
        if read_use(self.pid) is None:
            raise WorkerRefused("the system does not tell what a process uses")

    def _why_not(self, error: str) -> str:
        """With what it said itself, such as sandbox-exec's message."""
        self.printed.read()
        said = self.printed.text({}).strip() if self.printed.total else ""
        return f"{error}: {said.splitlines()[-1]}" if said else error

    async def run(self, number: int, code: str) -> tuple[ToolImage, ...]:
        """Run a cell and return its images; raises ``WorkerLost``."""
        self.printed.clear()
        self._signal(signal.SIGCONT)
        await self._send({"cell": number, "code": code})
        answer = await self._receive()
        sizes = answer.get("images")
        if answer.get("cell") != number or not _are_sizes(sizes, self._limits):
            raise WorkerLost("it answers something else")
        images = [await self._read(size) for size in sizes]
        self._take_output()
        # What the cell left running waits for the next one.
        self._signal(signal.SIGSTOP)
        if not all(each.startswith(_PNG) for each in images):
            raise WorkerLost("it answers something else")
        return tuple(ToolImage("image/png", each) for each in images)

    async def _send(self, message: frames.Message) -> None:
        assert self._streams is not None
        _, writer = self._streams
        try:
            writer.write(frames.pack(message))
            await writer.drain()
        except OSError:
            raise WorkerLost("it ended") from None
        except ValueError as error:
            raise WorkerLost(str(error)) from None

    async def _receive(self) -> frames.Message:
        header = await self._read(frames.HEADER.size)
        try:
            return frames.unpack(await self._read(frames.length(header, frames.MOST_FROM_WORKER)))
        except ValueError as error:
            raise WorkerLost(str(error)) from None

    async def _read(self, size: int) -> bytes:
        assert self._streams is not None
        try:
            return await self._streams[0].readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            raise WorkerLost("it ended") from None

    def _take_output(self) -> None:
        if not self.printed.read():
            asyncio.get_running_loop().remove_reader(self._output)

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Tell the kernel to end it, and all of its group."""
        if self._popen.poll() is None:
            for end in (os.killpg, os.kill):
                with suppress(ProcessLookupError, PermissionError):
                    end(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until it has ended, a moment after ``kill``; its exit status. Any thread."""
        return self._popen.wait()

    def close(self) -> None:
        """Let go of what leads to it; after ``kill``."""
        if self._streams is None:
            self._control.close()
        else:
            asyncio.get_running_loop().remove_reader(self._output)
            self._streams[1].close()
        os.close(self._output)


def make_command(
    program: Path, readable: Sequence[Path], own: Path, platform: str = sys.platform
) -> list[str]:
    """What starts a worker: on macOS it is shut in from its first instruction on."""
    words = [str(program), "-I", "-S", "-B", "-X", "utf8", "-c", _BOOT, str(_OURS)]
    if platform != "darwin":
        return words
    return sandbox_command(make_profile(program, readable, own), words)


def _are_sizes(sizes: object, limits: Limits) -> TypeGuard[list[int]]:
    """Whether these are lengths of images."""
    return (
        isinstance(sizes, list)
        and len(sizes) <= limits.images
        and all(type(each) is int and 0 < each <= limits.image_bytes for each in sizes)
    )


def _receive(control: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = control.recv(size - len(parts))
        if not part:
            raise OSError("it ended")
        parts += part
    return bytes(parts)
