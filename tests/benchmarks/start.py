"""From a process's start to its first answer, and from an unloaded model to an answer.

Run with ``python -m tests.benchmarks.start [--beside CHECKOUT]``. Each round starts
``mlxoss serve`` with the demo model, asks as soon as it listens, has the model unloaded and asks
again. With ``--beside`` another checkout does the same in the same round, by the same Python, in
changing order; what is compared is the ratio within a round, at the median. Seconds of the CPU are
those of the whole process up to its first answer: a busy machine changes them less.

Then ``--watched`` rounds in which ``/health`` is asked all the while. The longest that it took is
the longest that the event loop stood still.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.serve import free_port, get

HERE = Path(__file__).parents[2]
QUESTION = "What is 2 + 3?"


class Times(NamedTuple):
    """Seconds of one start. ``again_s`` is an answer's with the model loaded anew."""

    listens_s: float
    answer_s: float
    cpu_s: float
    again_s: float


@dataclass(frozen=True)
class Build:
    """A checkout, and a home in which its demo model is expanded already."""

    checkout: Path
    home: Path

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start it as a newcomer does."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlxoss", "serve", "--port", str(port), "--log-level", "error"],
            cwd=self.checkout,
            env=os.environ | {"MLXOSS_HOME": str(self.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


class Started(NamedTuple):
    """A server that listens since ``listens_s``, counted as all else from ``created``."""

    process: subprocess.Popen[bytes]
    port: int
    created: float
    listens_s: float


@asynccontextmanager
async def started(build: Build) -> AsyncIterator[Started]:
    """A server of ``build``, as soon as it accepts connections."""
    port, created = free_port(), time.perf_counter()
    process = build.start(port)
    try:
        await listening(port)
        yield Started(process, port, created, time.perf_counter() - created)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def listening(port: int) -> None:
    """Wait until connections are accepted."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return


async def post(port: int, path: str, body: object | None = None) -> None:
    """POST ``body`` over a new connection. Raises ``RuntimeError`` for anything but 200."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + data)
    answer = await reader.read()
    writer.close()
    if b" 200 " not in answer.split(b"\r\n", 1)[0]:
        raise RuntimeError(answer.decode())


async def ask(port: int) -> None:
    """One whole answer."""
    message = {"role": "user", "content": QUESTION}
    await post(
        port,
        "/v1/chat/completions",
        {"model": "mlxoss-demo", "messages": [message], "temperature": 0},
    )


def cpu_s(pid: int) -> float:
    """Seconds of the CPU that a process took so far."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    told = subprocess.run(
        ["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    minutes, _, seconds = told.stdout.strip().rpartition(":")
    return 60 * int(minutes) + float(seconds)


async def time_start(build: Build) -> Times:
    """One start, one answer, and one more with the model loaded anew."""
    async with started(build) as server:
        await ask(server.port)
        answer_s = time.perf_counter() - server.created
        spent_s = cpu_s(server.process.pid)
        await post(server.port, "/mlxoss/unload")
        began = time.perf_counter()
        await ask(server.port)
        return Times(server.listens_s, answer_s, spent_s, time.perf_counter() - began)


async def longest_silence_s(build: Build) -> float:
    """The longest that ``/health`` took while the first answer was awaited."""
    async with started(build) as server:
        work = asyncio.create_task(ask(server.port))
        longest = 0.0
        while not work.done():
            began = time.perf_counter()
            await get(server.port, "/health")
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(0.01)
        await work
        return longest


async def measure(builds: list[Build], args: argparse.Namespace) -> None:
    """All rounds, and the tables."""
    for build in builds:
        await time_start(build)
    rounds: list[dict[Build, Times]] = []
    silences: list[dict[Build, float]] = []
    for number in range(args.rounds):
        order = builds[:: 1 if number % 2 else -1]
        rounds.append({build: await time_start(build) for build in order})
        print(f"round {number + 1}:", *(f"{rounds[-1][build].answer_s:.2f}" for build in builds))
    for number in range(args.watched):
        order = builds[:: 1 if number % 2 else -1]
        silences.append({build: await longest_silence_s(build) for build in order})
    print(f"medians of {args.rounds} rounds | " + " | ".join(str(b.checkout) for b in builds))
    for name, read in ROWS.items():
        report(name, builds, [{b: read(t) for b, t in times.items()} for times in rounds])
    if silences:
        report("longest /health, s", builds, silences)


ROWS: dict[str, Callable[[Times], float]] = {
    "start to listening, s": lambda times: times.listens_s,
    "start to first answer, s": lambda times: times.answer_s,
    "CPU to first answer, s": lambda times: times.cpu_s,
    "an answer after unload, s": lambda times: times.again_s,
}


def report(name: str, builds: list[Build], rounds: list[dict[Build, float]]) -> None:
    """Print one line: each build's median, and the ratio within a round."""
    medians = [statistics.median(values[build] for values in rounds) for build in builds]
    line = f"{name:26} | " + " | ".join(f"{median:.2f}" for median in medians)
    if len(builds) > 1:
        ratios = sorted(values[builds[0]] / values[builds[1]] for values in rounds)
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        line += f" | ratio {statistics.median(ratios):.2f} ({spread})"
    print(line, flush=True)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--watched", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkouts = [HERE] + ([args.beside.resolve()] if args.beside else [])
        homes = [Path(folder, str(number)) for number in range(len(checkouts))]
        asyncio.run(measure([Build(*pair) for pair in zip(checkouts, homes, strict=True)], args))


if __name__ == "__main__":
    main()
