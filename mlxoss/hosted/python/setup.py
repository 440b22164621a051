"""Sets the tool up: is there a sandbox, are the packages there, do they work inside?

The packages are tried before they count: in a sandbox, by a cell. What matplotlib finds of fonts
then is kept for all workers, which takes each of them some seconds less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from mlxoss.config import Config
from mlxoss.errors import ConfigError
from mlxoss.findings import Check, Level
from mlxoss.hosted.python.container import Container
from mlxoss.hosted.python.environment import (
    Environment,
    complete,
    find_environment,
    make_environment,
)
from mlxoss.hosted.python.interpreter import find_interpreter
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.place import WorkerPlace
from mlxoss.hosted.python.tool import Root, make_root, try_sandbox

NAME = "python"
_TRIAL = """
import numpy, pandas, PIL.Image, sympy
import matplotlib.pyplot as plt
plt.plot(numpy.arange(3))
plt.savefig("/mnt/data/trial.png")
"""
_TRIAL_S = 600.0


def set_up(data: Path, cache: Path, say: Callable[[str], None]) -> None:
    """Make all that the tool needs, and try it. Blocks for minutes; raises ``ConfigError``."""
    if refused := try_sandbox(cache):
        raise ConfigError(f"no sandbox can be set up here: {refused}.")
    made = make_environment(data, say)
    if made.is_complete:
        return
    say("Trying them in the sandbox ...")
    root = make_root(cache)
    try:
        asyncio.run(_try_packages(made, root))
    finally:
        root.remove()


async def _try_packages(made: Environment, root: Root) -> None:
    place = WorkerPlace(root.path / "trial", root.outside, (made.packages,))
    container = Container(place, find_interpreter(), Limits(cell_s=_TRIAL_S, cpu_s=_TRIAL_S))
    try:
        outcome = await container.run(_TRIAL)
        if outcome.is_failed or not outcome.images:
            raise ConfigError(f"the packages do not work in the sandbox: {outcome.text}")
        complete(made, place.temporary / "matplotlib")
    finally:
        await container.remove()


def check_python(config: Config, data: Path, cache: Path) -> Iterator[Check]:
    """Whether the tool runs where it is enabled; nothing where it is not."""
    if config.tool_python != "on":
        return
    try:
        environment = find_environment(data)
    except ConfigError as error:
        yield Check(NAME, Level.FAIL, str(error).rstrip("."), "mlxoss tools enable python")
        return
    if refused := try_sandbox(cache, environment):
        detail = f"no sandbox can be set up, so the tool is not offered: {refused}"
        yield Check(NAME, Level.FAIL, detail, "mlxoss tools disable python")
    else:
        yield Check(NAME, Level.OK, "its sandbox stands")


def describe(limits: Limits) -> str:
    """What a cell may use, in one line."""
    return (
        f"{limits.cell_s:g} s a cell, {limits.memory >> 20} MB of memory, "
        f"{limits.files >> 20} MB of files, {limits.live} processes at once, kept for "
        f"{limits.idle_s / 60:g} minutes; no network, none of your files"
    )
