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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlxoss.cli.bench_cases import Target, decode, second_turn
from mlxoss.cli.bench_stream import time_chat
from mlxoss.cli.server import Server
from mlxoss.errors import MlxossError
from tests.benchmarks.serve import free_port, resident_mib
from tests.benchmarks.tokenizer_files import write_tokenizer
from tests.checkpoints import TinyModel, write_checkpoint

MLX_LM = "{python} -m mlx_lm server --model {folder} --port {port} --log-level ERROR"
OURS = "{python} -m mlxoss serve --model {folder} --port {port} --log-level error"
SYSTEM = "Keep to the rules of the harbour office at all times, and quote the number of each rule."


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


def first_token(peer: Peer) -> None:
    target = with_tokens(peer.target, 64)
    timing = time_chat(target.server, target.body([user(target.report())]))
    peer.note("first token, prompt of 512 tokens, s", timing.first_s)


def one_stream(peer: Peer) -> None:
    (timing,) = decode(with_tokens(peer.target, 128), 1)
    peer.note("decode, 1 stream, tokens/s", timing.decode_per_s)


def eight_streams(peer: Peer) -> None:
    began = time.perf_counter()
    timings = decode(with_tokens(peer.target, 128), 8)
    tokens = sum(timing.completion_tokens for timing in timings)
    peer.note("8 streams, all tokens/s", tokens / (time.perf_counter() - began))
    firsts = statistics.median(timing.first_s for timing in timings)
    peer.note("8 streams, first token (median), s", firsts)


def turns(peer: Peer) -> None:
    target = with_tokens(peer.target, 256)
    cold = time_chat(target.server, target.body([user(target.report())])).first_s
    peer.note("second turn of 2,000 tokens, warm : cold", second_turn(target).first_s / cold)


def shared_prompt(peer: Peer) -> None:
    target = with_tokens(peer.target, 256)
    system = {"role": "system", "content": f"{SYSTEM}\n{target.report()}"}
    times = [
        time_chat(target.server, target.body([system, user(secrets.token_hex(8))])).first_s
        for _ in range(4)
    ]
    ratio = statistics.median(times[1:]) / times[0]
    peer.note("shared system prompt, next : first", ratio)


CASES: tuple[Callable[[Peer], None], ...] = (
    first_token,
    one_stream,
    eight_streams,
    turns,
    shared_prompt,
)


def user(text: str) -> dict[str, str]:
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
