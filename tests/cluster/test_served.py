"""A model that two hosts share, one of them reached by a real ssh; and what is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli.runner import environment, mlxoss
from tests.support.cluster.groups import group, write_hostfile
from tests.support.cluster.sshd import Network
from tests.support.demo import SUM, ask_for_the_sum
from tests.support.service.box import is_alive
from tests.support.waiting import HANG_S, until


@pytest.fixture
def served(network: Network, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The daemon, and its address."""
    network.serve("mac-b", {"MLXOSS_HOME": tmp_path / "b"})
    path = write_hostfile(tmp_path, group("mac-a", "mac-b"))
    command = [sys.executable, "-m", "mlxoss", "serve", "--port", "0", "--hostfile", str(path)]
    env = environment(tmp_path / "home", {"PATH": network.path})
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = (re.search(r"at (http://\S+)/v1", line) for line in process.stderr)
        yield process, next(match[1] for match in found if match)
        process.kill()


@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGKILL])
def test_the_other_host_answers_with_it_and_ends_with_it(
    served: tuple[subprocess.Popen[str], str], tmp_path: Path, ended: signal.Signals
) -> None:
    process, url = served
    assert ask_for_the_sum(int(url.rpartition(":")[2])) == SUM
    done = mlxoss(tmp_path / "home", "chat", "--url", url, "What is 2 + 3?")
    assert done.stdout.strip(), done.stderr
    (rank,) = ranks_of(tmp_path / "b")
    os.kill(process.pid, ended)
    process.wait(HANG_S)
    until(lambda: not is_alive(rank))
    assert ranks_of(tmp_path / "b") == []


def ranks_of(home: Path) -> list[int]:
    """The ranks that run with that ``MLXOSS_HOME``."""
    wanted, found = f"MLXOSS_HOME={home}\0".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_rank = b"rank" in words and words[0] == sys.executable.encode()
            if is_rank and wanted in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
