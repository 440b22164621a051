"""What the HTTP path costs over driving mlx-lm's batch generator in-process.

Run with ``python -m tests.benchmarks.serve``. Each round measures the in-process
rate and the server's rate one after the other, so that a busy machine slows both;
the table shows medians over the rounds and their ratios.

The demo model is served greedily with its end tokens banned, so that every stream
decodes a known number of tokens, each of them visible to the client. A second table
compares the same two sides with a model whose steps last exactly 5 ms (see `paced`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import paced

QUESTION = "Hello!"
HEADER = "streams | in-process tok/s | HTTP tok/s | ratio | added ms per token and stream"
END_IDS = (200002, 200007, 200012)
"""``<|return|>``, ``<|end|>`` and ``<|call|>``: banned, so that a stream runs to its limit."""


@dataclass(frozen=True)
class StreamTimes:
    """One streamed answer: seconds from its request to each content chunk."""

    chunk_s: tuple[float, ...]

    @property
    def decode_s(self) -> float:
        """From the first chunk to the last."""
        return self.chunk_s[-1] - self.chunk_s[0]


@dataclass(frozen=True)
class Round:
    """One comparison with a batch of ``streams``; rates are tokens per second in all."""

    streams: int
    in_process_tok_s: float
    http_tok_s: float

    @property
    def added_ms(self) -> float:
        """Milliseconds that the HTTP path adds for each token of each stream."""
        return 1000 * (1 / self.http_tok_s - 1 / self.in_process_tok_s)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def get(port: int, path: str) -> dict[str, object]:
    """GET a JSON document over a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    answer: dict[str, object] = json.loads(body)
    return answer


async def stream(port: int, tokens: int) -> StreamTimes:
    """Stream one chat completion of exactly ``tokens`` tokens and time its chunks."""
    body = json.dumps(
        {
            "model": "mlxoss-demo",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
            "temperature": 0,
            "max_tokens": tokens,
            "logit_bias": {str(token): -100 for token in END_IDS},
        }
    ).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"{status!r} {await reader.read()!r}")
    times: list[float] = []
    while line := await reader.readline():
        if line.startswith(b"data: {") and (b'"content":' in line or b'"reasoning":' in line):
            times.append(time.perf_counter() - start)
    writer.close()
    return StreamTimes(tuple(times))


async def http_rate(port: int, streams: int, tokens: int) -> float:
    """Tokens per second of ``streams`` concurrent answers while all of them decode."""
    results = await asyncio.gather(*(stream(port, tokens) for _ in range(streams)))
    return sum((len(r.chunk_s) - 1) / r.decode_s for r in results)


async def health_latency(port: int, streams: int, tokens: int) -> list[float]:
    """Seconds that ``/health`` takes while ``streams`` answers run."""
    work = asyncio.gather(*(stream(port, tokens) for _ in range(streams)))
    latencies: list[float] = []
    while not work.done():
        start = time.perf_counter()
        await get(port, "/health")
        latencies.append(time.perf_counter() - start)
        await asyncio.sleep(0.02)
    await work
    return latencies


def in_process_rate(worker: subprocess.Popen[str], streams: int, tokens: int) -> float:
    """Ask the in-process worker for the rate of one batch."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{streams} {tokens}\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def resident_mib(pid: int) -> float:
    """The resident memory of a process, in MiB."""
    kib = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(kib.stdout) / 1024


@dataclass(frozen=True)
class Start:
    """Seconds and MiB of a start, from the process's creation."""

    health_s: float
    loaded_s: float
    first_token_s: float
    rss_before_mib: float
    rss_after_mib: float


async def watch_start(process: subprocess.Popen[bytes], port: int, created: float) -> Start:
    """Follow a server from its creation to its first token."""
    while True:
        try:
            health = await get(port, "/health")
            break
        except (OSError, ValueError):
            await asyncio.sleep(0.005)
    health_s = time.perf_counter() - created
    rss_before = resident_mib(process.pid)
    while health["status"] != "ok":
        await asyncio.sleep(0.01)
        health = await get(port, "/health")
    loaded_s = time.perf_counter() - created
    asked = time.perf_counter() - created
    first = await stream(port, 2)
    return Start(
        health_s, loaded_s, asked + first.chunk_s[0], rss_before, resident_mib(process.pid)
    )


def serve(port: int, home: Path) -> subprocess.Popen[bytes]:
    """Start ``mlxoss serve`` on the demo model."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlxoss", "serve", "--port", str(port), "--log-level", "error"],
        env=os.environ | {"MLXOSS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def measure(args: argparse.Namespace, home: Path) -> None:
    """Start both sides, measure round by round, print the table."""
    for warm in (False, True):
        port, created = free_port(), time.perf_counter()
        server = serve(port, home)
        start = await watch_start(server, port, created)
        print_start("first start (demo model expanded)" if not warm else "later start", start)
        if not warm:
            server.terminate()
            server.wait()
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.in_process", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        print("\nthe demo model on MLX")
        print(HEADER)
        for streams in args.streams:
            rounds = [await compare(worker, port, streams, args.tokens) for _ in range(args.rounds)]
            print_rounds(rounds)
        await measure_paced(args)
        latencies = sorted(await health_latency(port, max(args.streams), args.tokens))
        p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
        print(
            f"\n/health under {max(args.streams)} streams, {len(latencies)} calls: "
            f"p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms"
        )
    finally:
        worker.kill()
        server.terminate()
        server.wait()


async def measure_paced(args: argparse.Namespace) -> None:
    """The second table: steps of 5 ms on both sides."""
    server, port = paced.start_server()
    try:
        print(f"\na model whose steps last {1000 * paced.STEP_S:.0f} ms")
        print(HEADER)
        for streams in args.streams:
            rounds = []
            for _ in range(args.rounds):
                direct = await asyncio.to_thread(paced.in_process_rate, streams, args.tokens)
                rounds.append(Round(streams, direct, await http_rate(port, streams, args.tokens)))
            print_rounds(rounds)
    finally:
        server.kill()


async def compare(worker: subprocess.Popen[str], port: int, streams: int, tokens: int) -> Round:
    """One round: in-process, then over HTTP."""
    direct = await asyncio.to_thread(in_process_rate, worker, streams, tokens)
    return Round(streams, direct, await http_rate(port, streams, tokens))


def print_start(title: str, start: Start) -> None:
    """Print one start as a line."""
    print(
        f"{title}: /health after {start.health_s:.2f} s, model ready {start.loaded_s:.2f} s, "
        f"first token {start.first_token_s:.2f} s; memory {start.rss_before_mib:.0f} MiB "
        f"before, {start.rss_after_mib:.0f} MiB after loading"
    )


def print_rounds(rounds: list[Round]) -> None:
    """Print the medians of rounds with the same number of streams as a line."""
    direct = statistics.median(r.in_process_tok_s for r in rounds)
    http = statistics.median(r.http_tok_s for r in rounds)
    ratio = statistics.median(r.http_tok_s / r.in_process_tok_s for r in rounds)
    added = statistics.median(r.added_ms for r in rounds)
    streams = rounds[0].streams
    print(f"{streams:7} | {direct:16.0f} | {http:10.0f} | {ratio:5.2f} | {added:8.3f}")


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=300, help="tokens per stream")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(measure(args, Path(home)))


if __name__ == "__main__":
    main()
