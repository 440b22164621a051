"""One container: a private folder, and a worker process that keeps the cells' state."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from itertools import count

from mlxoss.hosted.python import folder
from mlxoss.hosted.python.interpreter import Interpreter
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.place import WorkerPlace
from mlxoss.hosted.python.process import WorkerLost, WorkerProcess, WorkerRefused
from mlxoss.hosted.python.use import ProcessUse, find_breach, read_use
from mlxoss.hosted.python.worker.data_paths import SHOWN
from mlxoss.outcomes import PythonOutcome, ToolImage

logger = logging.getLogger(__name__)

NO_OUTPUT = (
    "[WARN] No output available. Use print() to output anything to stdout to receive the output"
)
"""What the model was trained to read when a cell showed nothing."""

_WATCH_S = 0.1
_FILES_EVERY = 3


class Container:
    """Runs one cell at a time. The event loop's thread."""

    def __init__(self, place: WorkerPlace, interpreter: Interpreter, limits: Limits) -> None:
        self._place = place
        self._interpreter = interpreter
        self._limits = limits
        self._process: WorkerProcess | None = None
        self._count = 0
        self.lock = asyncio.Lock()
        """Held by whoever runs a cell."""
        self.used_at = 0.0
        """When its last cell ended, by the loop's clock."""

    @property
    def is_live(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    async def run(self, code: str) -> PythonOutcome:
        """Run ``code``; hold ``lock``. If cancelled, the process is gone on return."""
        try:
            process = self._process or await self._start()
            return await self._run(process, code)
        except WorkerRefused as error:
            await self.stop()
            logger.error("no sandbox could be set up: %s", error)
            return _failed("", f"no sandbox could be set up: {error}")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process, if there is one; the files stay."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            try:
                await _surely(asyncio.to_thread(process.wait))
            finally:
                process.close()

    async def remove(self) -> None:
        """End the process and remove the files."""
        try:
            await self.stop()
        finally:
            await _surely(asyncio.to_thread(self._remove_files))

    async def _start(self) -> WorkerProcess:
        try:
            process = WorkerProcess(self._place, self._interpreter, self._limits)
        except (OSError, ValueError) as error:
            raise WorkerRefused(str(error)) from None
        self._process = process
        await process.start()
        return process

    async def _run(self, process: WorkerProcess, code: str) -> PythonOutcome:
        self._count += 1
        before = read_use(process.pid)
        cell = asyncio.ensure_future(process.run(self._count, code))
        watch = asyncio.ensure_future(self._watch(process, before))
        both = (cell, watch)
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(both, timeout=self._limits.cell_s, return_when=first)
            if watch.done():
                return await self._end(process, watch.result())
            return await self._judge(process, cell, before)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _judge(
        self,
        process: WorkerProcess,
        cell: asyncio.Future[tuple[ToolImage, ...]],
        before: ProcessUse | None,
    ) -> PythonOutcome:
        """What became of the cell."""
        if not cell.done():
            return await self._end(process, f"it took longer than {self._limits.cell_s:g} s")
        try:
            images = cell.result()
        except WorkerLost as error:
            return await self._end(process, None, str(error))
        breach = self._find_in_use(process, before)
        if breach or (breach := await asyncio.to_thread(self._find_in_files)):
            return await self._end(process, breach)
        logs = self._logs(process)
        return PythonOutcome(logs or NO_OUTPUT, logs, images)

    async def _end(
        self, process: WorkerProcess, breach: str | None, error: str = ""
    ) -> PythonOutcome:
        process.kill()
        status = await asyncio.to_thread(process.wait)
        process.printed.read()
        logs = self._logs(process)
        await self.stop()
        reason = breach or _how_it_ended(status, error)
        if await asyncio.to_thread(self._find_in_files):
            await asyncio.to_thread(self._remove_files)
            reason += f"; {SHOWN} was emptied"
        logger.warning("a Python process was ended: %s", reason)
        return _failed(logs, reason)

    async def _watch(self, process: WorkerProcess, before: ProcessUse | None) -> str:
        """Return what goes beyond its bound, once something does."""
        for turn in count():
            if breach := self._find_in_use(process, before):
                return breach
            if turn % _FILES_EVERY == 0 and (found := await asyncio.to_thread(self._find_in_files)):
                return found
            await asyncio.sleep(_WATCH_S)
        raise AssertionError("unreachable")

    def _find_in_use(self, process: WorkerProcess, before: ProcessUse | None) -> str | None:
        """What the process uses too much of; ``before`` was at the cell's start."""
        now = read_use(process.pid)
        if before and now and (breach := find_breach(now, before, self._limits)):
            return breach
        if process.printed.total > self._limits.printed:
            return f"it printed more than {self._limits.printed >> 20} MB"
        return None

    def _find_in_files(self) -> str | None:
        """What is too much in the private folder."""
        limits = self._limits
        found = folder.measure(self._place.folder, limits.file_count)
        if found.is_hidden:
            return f"it hid files in {SHOWN}"
        if found.count > limits.file_count:
            return f"it made more than {limits.file_count} files"
        if found.bytes > limits.files:
            return f"its files took more than {limits.files >> 20} MB"
        return None

    def _remove_files(self) -> None:
        try:
            folder.remove(self._place.folder)
        except OSError as error:
            logger.error("a container's files cannot be removed: %s", error)

    def _logs(self, process: WorkerProcess) -> str:
        return process.printed.text(self._place.shown).removesuffix("\n")


def _failed(logs: str, reason: str) -> PythonOutcome:
    told = f"[The Python process is gone: {reason}. Its state is lost.]"
    text = f"{logs.rstrip()}\n{told}" if logs.strip() else told
    return PythonOutcome(text, text, is_failed=True)


def _how_it_ended(status: int, error: str) -> str:
    if status >= 0:
        return f"{error} with exit status {status}"
    try:
        return f"{error} by {signal.Signals(-status).name}"
    except ValueError:
        return f"{error} by signal {-status}"


async def _surely(work: Coroutine[object, object, object]) -> None:
    """Wait for ``work`` to its end, and only then be cancelled."""
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
