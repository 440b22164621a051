"""A daemon under mixed traffic for a while: does it stay as it was?

Run with ``python -m tests.benchmarks.soak --minutes 20``. Clients of a real ``mlxoss serve`` chat,
stream, go on with tool loops and earlier responses, run things in the background, leave in the
middle, and every ``--unload-every`` seconds the model is unloaded and loaded again. Afterwards
nothing may be open, no request may have failed but those that left, and the process may hold no
more memory and files in the second half than in the first (medians; memory within ``SLACK``, files
within ``SPARE_FILES``). Prints what it found; the exit code is 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.daemon import Daemon, start_daemon

SLACK = 1.10
SPARE_FILES = 8
CLIENTS = 6
TOOL: Any = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"enum": ["north", "south"]}}},
}
WORDS = ["harbour", "boat", "rope", "sail", "wind", "salt", "gull", "tide"]


@dataclass
class Soak:
    """What the clients share. ``done`` counts endings by kind, ``failures`` quotes the bad ones."""

    client: openai.OpenAI
    deadline: float
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self, seed: int) -> None:
        """One client, until the deadline."""
        rng = random.Random(seed)
        kinds: list[Callable[[random.Random], None]] = [
            self.chat,
            self.stream,
            self.leave,
            self.respond,
            self.loop,
            self.background,
        ]
        while time.monotonic() < self.deadline:
            kind = rng.choice(kinds)
            try:
                kind(rng)
            except openai.RateLimitError:
                self.done["refused"] += 1
            except Exception as error:  # noqa: BLE001 - told at the end
                self.failures.append(f"{kind.__name__}: {error!r}")
            else:
                self.done[kind.__name__] += 1

    def chat(self, rng: random.Random) -> None:
        self.client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": text(rng)}], max_tokens=12
        )

    def stream(self, rng: random.Random) -> None:
        for _ in self.open_stream(rng, 24):
            pass

    def leave(self, rng: random.Random) -> None:
        """Read a little of a long answer, and go."""
        stream = self.open_stream(rng, 400)
        for _, _chunk in zip(range(rng.randint(1, 6)), stream, strict=False):
            pass
        stream.close()

    def open_stream(self, rng: random.Random, most: int) -> openai.Stream[Any]:
        return self.client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": text(rng)}],
            max_tokens=most,
            stream=True,
        )

    def respond(self, rng: random.Random) -> None:
        first = self.client.responses.create(model="m", input=text(rng), max_output_tokens=12)
        self.client.responses.create(
            model="m", input="And?", previous_response_id=first.id, max_output_tokens=12
        )
        self.client.responses.delete(first.id)

    def loop(self, rng: random.Random) -> None:
        asked: list[Any] = [{"role": "user", "content": text(rng)}]
        response = self.client.responses.create(
            model="m", input=asked, tools=[TOOL], max_output_tokens=200, tool_choice="required"
        )
        results = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "fog"}
            for item in response.output
            if item.type == "function_call" and item.status == "completed"
        ]
        if results:
            self.client.responses.create(
                model="m",
                input=results,  # type: ignore[arg-type]
                previous_response_id=response.id,
                max_output_tokens=12,
            )

    def background(self, rng: random.Random) -> None:
        response = self.client.responses.create(
            model="m", input=text(rng), max_output_tokens=40, background=True
        )
        while response.status in ("queued", "in_progress"):
            time.sleep(0.2)
            response = self.client.responses.retrieve(response.id)


def text(rng: random.Random) -> str:
    """Words; some messages begin alike."""
    start = f"{rng.choice(WORDS)} " * rng.choice((1, 60, 200))
    return start + " ".join(rng.choices(WORDS, k=rng.randint(1, 40)))


@dataclass
class Reading:
    """What the process holds."""

    memory_bytes: int
    files: int


def read_process(pid: int) -> Reading:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Reading(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))


def watch(daemon: Daemon, soak: Soak, unload_every_s: float) -> list[Reading]:
    """A reading a second until the deadline, always with the model loaded."""
    readings: list[Reading] = []
    unload_at = time.monotonic() + unload_every_s
    while time.monotonic() < soak.deadline:
        if time.monotonic() > unload_at:
            for verb in ("unload", "load"):
                soak.client.post(f"{daemon.url}/mlxoss/{verb}", cast_to=object)
            soak.done["reload"] += 1
            unload_at = time.monotonic() + unload_every_s
        readings.append(read_process(daemon.process.pid))
        time.sleep(1)
    return readings


def judge(soak: Soak, readings: list[Reading], health: dict[str, Any]) -> list[str]:
    """What does not hold; prints the figures."""
    # The first tenth is for warming up.
    readings = readings[len(readings) // 10 :]
    halves = readings[: len(readings) // 2], readings[len(readings) // 2 :]
    memory = [statistics.median(r.memory_bytes for r in half) for half in halves]
    files = [statistics.median(r.files for r in half) for half in halves]
    print(", ".join(f"{count} {name}" for name, count in sorted(soak.done.items())))
    print(f"memory in the second half: {memory[1] / memory[0]:.3f} x ({memory[1] / 1e6:.0f} MB)")
    print(f"files: {files[0]:.0f}, then {files[1]:.0f}")
    findings = list(soak.failures)
    if memory[1] > SLACK * memory[0]:
        findings.append(f"the memory grew to more than {SLACK} x")
    if files[1] > files[0] + SPARE_FILES:
        findings.append(f"more than {SPARE_FILES} files more are open")
    unfinished = health["active_requests"] + health["queued_requests"]
    if unfinished:
        findings.append(f"{unfinished} requests are unfinished")
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--unload-every", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        model = write_checkpoint(Path(folder) / "model", TinyModel(hidden=32))
        flags = ("--model", str(model), "--context-length", "8192", "--log-level", "warning")
        with start_daemon(Path(folder), *flags) as daemon:
            daemon.wait_until_loaded()
            findings = pour(daemon, options)
            daemon.stop(signal.SIGTERM)
    for finding in findings:
        print(f"FAILED: {finding}")
    return 1 if findings else 0


def pour(daemon: Daemon, options: argparse.Namespace) -> list[str]:
    """The traffic, and what it left."""
    client = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, timeout=300)
    soak = Soak(client, time.monotonic() + 60 * options.minutes)
    with client:
        threads = [
            threading.Thread(target=soak.run, args=(options.seed + number,))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        readings = watch(daemon, soak, options.unload_every)
        for thread in threads:
            thread.join()
    daemon.wait_until(lambda: not daemon.health()["active_requests"], within_s=30)
    return judge(soak, readings, daemon.health())


if __name__ == "__main__":
    sys.exit(main())
