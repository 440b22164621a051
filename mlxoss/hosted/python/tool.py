"""The tool itself: containers by their ids, few of them live, none for longer than it is used."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from mlxoss import paths
from mlxoss.config import Config
from mlxoss.errors import ConfigError
from mlxoss.files import locked, take_lock
from mlxoss.hosted.python import folder
from mlxoss.hosted.python.container import Container
from mlxoss.hosted.python.environment import Environment, find_environment
from mlxoss.hosted.python.interpreter import find_interpreter
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.place import WorkerPlace
from mlxoss.hosted.python.process import WorkerProcess, WorkerRefused
from mlxoss.outcomes import PythonOutcome

logger = logging.getLogger(__name__)

CONTAINERS = "containers"
"""The folder of the cache that holds their files."""
_LOCK = "lock"
_OUTSIDE = "outside"


def open_python(config: Config) -> Containers | None:
    """The tool, or ``None`` where it is off or cannot run; the log says why.

    Starts a process and waits for it: a fraction of a second. Any thread, but the tool is the event
    loop's.
    """
    if config.tool_python != "on":
        return None
    try:
        environment = find_environment(paths.data_dir())
        containers = Containers(make_root(paths.cache_dir()), environment, Limits())
    except (ConfigError, OSError) as error:
        logger.error("The tool python is not offered: %s", error)
        return None
    try:
        containers.try_out()
    except WorkerRefused as error:
        logger.error("The tool python is not offered: no sandbox can be set up here: %s.", error)
        containers.forget()
        return None
    return containers


def try_sandbox(cache: Path, packages: Environment | None = None) -> str | None:
    """Why no sandbox can be set up here, ``None`` if it can. Blocks for a moment."""
    try:
        containers = Containers(make_root(cache), packages, Limits())
    except OSError as error:
        return str(error)
    try:
        containers.try_out()
    except WorkerRefused as error:
        return str(error)
    finally:
        containers.forget()
    return None


class Root:
    """The folder of one daemon's containers. It is locked while the daemon lives."""

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True)
        self.path = path.resolve()
        self._lock = take_lock(self.path / _LOCK)
        self.outside.write_text("Cells cannot read this.\n")

    @property
    def outside(self) -> Path:
        """A file by which workers try their walls."""
        return self.path / _OUTSIDE

    def remove(self) -> None:
        """Remove it, with all containers; no process may be left."""
        with suppress(OSError):
            folder.remove(self.path)
        with suppress(OSError):
            os.close(self._lock)


def make_root(cache: Path) -> Root:
    """A folder for this daemon's containers; those of daemons that were killed are removed."""
    parent = cache / CONTAINERS
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(cache / f"{CONTAINERS}.lock"):
        for each in parent.iterdir():
            _remove_if_left(each)
        return Root(parent / secrets.token_hex(8))


def _remove_if_left(root: Path) -> None:
    try:
        lock = take_lock(root / _LOCK, limit_s=0.0) if (root / _LOCK).exists() else None
    except (OSError, BlockingIOError):
        return  # another daemon's
    with suppress(OSError):
        folder.remove(root)
    if lock is not None:
        os.close(lock)


class Containers:
    """A ``PythonTool``. Ids are names in a table: no path is made of one."""

    def __init__(self, root: Root, environment: Environment | None, limits: Limits) -> None:
        self._root = root
        self._environment = environment
        self._interpreter = find_interpreter()
        self._limits = limits
        self._held: dict[str, Container] = {}
        self._running: set[Container] = set()
        self._at_once = asyncio.Semaphore(limits.live)
        self._ends: dict[str, asyncio.Task[None]] = {}

    @property
    def limits(self) -> Limits:
        """What a cell may use."""
        return self._limits

    async def run(self, container_id: str, code: str) -> PythonOutcome:
        """Run ``code`` after those of that container that came before."""
        while True:
            self._keep(container_id)
            container = self._held.get(container_id) or await self._make(container_id)
            async with container.lock:
                if self._held.get(container_id) is container:
                    return await self._run(container_id, container, code)

    async def _run(self, container_id: str, container: Container, code: str) -> PythonOutcome:
        try:
            async with self._at_once:
                if not container.is_live:
                    await self._make_room()
                self._running.add(container)
                return await container.run(code)
        finally:
            self._running.discard(container)
            container.used_at = asyncio.get_running_loop().time()
            self._let_go_later(container_id)

    async def close(self) -> None:
        """End every process and remove all files."""
        for container_id in list(self._ends):
            self._keep(container_id)
        held, self._held = self._held, {}
        await asyncio.gather(*(container.remove() for container in held.values()))
        await asyncio.to_thread(self.forget)

    def forget(self) -> None:
        """Remove the folder; no process may be left."""
        self._root.remove()

    def try_out(self) -> None:
        """Start a worker and end it; raises ``WorkerRefused``. Blocks."""
        place = self._place()
        try:
            WorkerProcess(place, self._interpreter, self._limits).start_and_end()
        except (OSError, ValueError) as error:
            raise WorkerRefused(str(error)) from None
        finally:
            folder.remove(place.folder)

    async def _make(self, container_id: str) -> Container:
        place = self._place()
        made = self._held[container_id] = Container(place, self._interpreter, self._limits)
        idle = sorted(
            (each.used_at, name)
            for name, each in self._held.items()
            if each is not made and not each.lock.locked()
        )
        for _, name in idle[: max(0, len(self._held) - self._limits.held)]:
            await self._remove(name)
        return made

    async def _remove(self, container_id: str) -> None:
        container = self._held.pop(container_id)
        self._keep(container_id)
        async with container.lock:
            await container.remove()

    def _place(self) -> WorkerPlace:
        packages = () if self._environment is None else (self._environment.packages,)
        fonts = None if self._environment is None else self._environment.fonts
        own = self._root.path / secrets.token_hex(8)
        return WorkerPlace(own, self._root.outside, packages, fonts)

    async def _make_room(self) -> None:
        """End the processes that were used least recently, so that one more may live."""
        live = [each for each in self._held.values() if each.is_live]
        idle = sorted(set(live) - self._running, key=lambda each: each.used_at)
        for container in idle[: max(0, len(live) + 1 - self._limits.live)]:
            await container.stop()

    def _keep(self, container_id: str) -> None:
        if task := self._ends.pop(container_id, None):
            task.cancel()

    def _let_go_later(self, container_id: str) -> None:
        self._keep(container_id)
        if container_id in self._held:
            self._ends[container_id] = asyncio.ensure_future(self._let_go(container_id))

    async def _let_go(self, container_id: str) -> None:
        await asyncio.sleep(self._limits.idle_s)
        del self._ends[container_id]
        await self._remove(container_id)
