"""mlxoss beside another server with the same model: ``python -m tests.benchmarks.peers``.

Both serve one random checkpoint (52 million parameters, GPT-OSS's shape and vocabulary) in turn,
round by round, asked by the same client for the same things; the table shows medians and their
ratio. The other one is mlx-lm's own server, or what ``--command`` starts: there ``{folder}`` and
``{port}`` stand for the checkpoint and the port, and its ``/v1/models`` must answer.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxoss.cli.bench.cases import READING_S, Messages, Target, decode
from mlxoss.cli.bench.timing import time_chat
from mlxoss.cli.client.http import Server
from mlxoss.errors import MlxossError
from tests.benchmarks.serve import free_port, resident_mib
from tests.benchmarks.tokenizer_files import write_tokenizer
from tests.support.checkpoints import TinyModel, write_checkpoint

MLX_LM = "{python} -m mlx_lm server --model {folder} --port {port} --log-level ERROR"
OURS = "{python} -m mlxoss serve --model {folder} --port {port} --log-level error"


@dataclass
class Peer:
    """A server and what was measured of it: figures by what they are about."""

    target: Target
    process: subprocess.Popen[bytes]
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, figure: float) -> None:
        self.figures.setdefault(what, []).append(figure)

    def median(self, what: str) -> float:
        return statistics.median(self.figures[what])


def with_tokens(target: Target, tokens: int) -> Target:
    return Target(target.server, target.model, target.is_mlxoss, tokens)


def fourth_token(peer: Peer, conversations: Sequence[Messages]) -> list[float]:
    """Seconds from the request to the end of an answer of four tokens, of all at the same time.

    A turn of GPT-OSS shows its fourth token first, behind its header; the random model writes that
    header only where it is made to, so shown tokens would not compare.
    """
    with ThreadPoolExecutor(len(conversations)) as pool:
        return list(pool.map(lambda messages: time_end(peer, messages), conversations))


def time_end(peer: Peer, messages: Messages) -> float:
    began = time.perf_counter()
    for _ in peer.target.server.stream(
        "/v1/chat/completions", peer.target.body(messages, 4, stream=True)
    ):
        pass
    return time.perf_counter() - began


def first_words(peer: Peer) -> None:
    (seconds,) = fourth_token(peer, [[report(peer, 512)]])
    peer.note("4th token after a prompt of 512, s", seconds)
    seconds = statistics.median(fourth_token(peer, [[report(peer, 64)] for _ in range(8)]))
    peer.note("4th token of 8 prompts of 64 at once, s", seconds)


def decoding(peer: Peer) -> None:
    target = with_tokens(peer.target, 128)
    (timing,) = decode(target, 1)
    peer.note("decode, 1 stream, tokens/s", timing.decode_per_s)
    began = time.perf_counter()
    tokens = sum(timing.completion_tokens for timing in decode(target, 8))
    peer.note("8 streams from request to end, tokens/s", tokens / (time.perf_counter() - began))


def health(peer: Peer) -> None:
    server = peer.target.server
    latencies: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(decode, with_tokens(peer.target, 64), 8)
        while not work.done():
            began = time.perf_counter()
            server.ask("GET", "/health")
            latencies.append(time.perf_counter() - began)
            time.sleep(0.02)
        work.result()
    latencies.sort()
    peer.note("/health under 8 streams, p99, ms", 1000 * latencies[int(len(latencies) * 0.99)])


def turns(peer: Peer) -> None:
    messages: Messages = [report(peer, 2000)]
    (cold,) = fourth_token(peer, [messages])
    answered = time_chat(peer.target.server, peer.target.body(messages))
    time.sleep(READING_S)
    messages += [answered.message, user("And who was on board at a quarter past six?")]
    (warm,) = fourth_token(peer, [messages])
    peer.note("second turn of 2,000 tokens, of a cold one", warm / cold)


def shared_prompt(peer: Peer) -> None:
    system = report(peer, 2000) | {"role": "system"}
    first, *others = (
        fourth_token(peer, [[system, user(secrets.token_hex(8))]])[0] for _ in range(4)
    )
    ratio = statistics.median(others) / first
    peer.note("shared prompt of 2,000 tokens, next of first", ratio)


def report(peer: Peer, tokens: int) -> dict[str, Any]:
    return user(with_tokens(peer.target, tokens // 8).report())


CASES: tuple[Callable[[Peer], None], ...] = (
    first_words,
    decoding,
    health,
    turns,
    shared_prompt,
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@contextmanager
def started(command: str, folder: Path, home: Path) -> Iterator[Peer]:
    """Start it and wait for its first answer."""
    port = free_port()
    words = command.format(python=sys.executable, folder=folder, port=port)
    began = time.perf_counter()
    log = (home / f"{port}.log").open("wb")
    (home / "hub").mkdir(exist_ok=True)
    env = os.environ | {"MLXOSS_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    env["HF_HUB_CACHE"] = str(home / "hub")
    process = subprocess.Popen(shlex.split(words), env=env, stdout=log, stderr=log)
    try:
        server = Server(f"http://127.0.0.1:{port}")
        target = Target(server, wait_for_model(server, process, str(folder)), command == OURS, 64)
        peer = Peer(target, process)
        peer.note("process start to ready, s", time.perf_counter() - began)
        time_chat(server, target.body([user("Hello!")], 8 if command != OURS else 32))
        peer.note("process start to first answer, s", time.perf_counter() - began)
        yield peer
    finally:
        process.terminate()
        process.wait()
        log.close()


def wait_for_model(server: Server, process: subprocess.Popen[bytes], folder: str) -> str:
    while process.poll() is None:
        try:
            names = [each["id"] for each in server.ask("GET", "/v1/models")["data"]]
        except MlxossError:
            time.sleep(0.02)
        else:
            return folder if folder in names or not names else names[0]
    raise RuntimeError(f"the server ended with {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--command", default=MLX_LM)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = write_checkpoint(Path(root) / "model", TinyModel(hidden=128))
        write_tokenizer(folder)
        with (
            started(OURS, folder, Path(root)) as ours,
            started(args.command, folder, Path(root)) as other,
        ):
            measure((ours, other), args.rounds)
            print_table(ours, other)


def measure(peers: tuple[Peer, Peer], rounds: int) -> None:
    for peer in peers:
        peer.note("memory when ready, MiB", resident_mib(peer.process.pid))
    for number in range(rounds):
        for case in CASES:
            for peer in peers if number % 2 else reversed(peers):
                case(peer)
    for peer in peers:
        peer.note("memory afterwards, MiB", resident_mib(peer.process.pid))


def print_table(ours: Peer, other: Peer) -> None:
    print(f"{'':45} |  mlxoss |   other | mlxoss : other")
    for what in ours.figures:
        mine, theirs = ours.median(what), other.median(what)
        print(f"{what:45} | {mine:7.2f} | {theirs:7.2f} | {mine / theirs:5.2f}")


if __name__ == "__main__":
    main()
