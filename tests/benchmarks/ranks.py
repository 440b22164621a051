"""``python -m tests.benchmarks.ranks``: what it costs to share a model, on this machine.

A random model decodes in one process and on local ranks in turn, in one run; what is compared is
the time of a step. The ranks share this machine's cores, so the ratio says what communication and
its waits cost, and nothing of what two machines gain.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlxoss.engine.ranks.group import RankGroup
from mlxoss.engine.ranks.messages import Measure
from mlxoss.engine.ranks.probe import measure, read_sums
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import make_backend, make_request, random_prompt
from tests.support.ranks.shared import SharedModel, make_plan, share

PROMPT_TOKENS = 32


@dataclass
class Side:
    """One of the two that are compared: a step of it, and the seconds that steps took."""

    step: Callable[[], object]
    took_s: list[float] = field(default_factory=list)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            began = time.perf_counter()
            self.step()
            self.took_s.append(time.perf_counter() - began)

    @property
    def median_s(self) -> float:
        return statistics.median(self.took_s)


def compare(model: SharedModel, streams: int, rounds: int, steps: int) -> None:
    """Steps of ``streams`` sequences, some in one process, then some on the ranks, and again."""
    one = make_backend(model.whole, max_batch=streams)
    many = make_backend(model, max_batch=streams)
    most = rounds * steps + 50
    for backend in (one, many):
        for uid in range(streams):
            backend.insert(uid, make_request(random_prompt(PROMPT_TOKENS, uid), most))
        for _ in range(10):
            backend.step()
    (channel,) = model.ranks.others
    sides = Side(one.step), Side(many.step)
    messages = bytes_sent = 0
    for _ in range(rounds):
        for side in sides:
            before = channel.sent_messages, channel.sent_bytes
            side.run(steps)
            if side is sides[1]:
                messages += channel.sent_messages - before[0]
                bytes_sent += channel.sent_bytes - before[1]
    count = rounds * steps
    sums = read_sums(model.shard)
    print(
        f"{streams} streams: one process {1000 * sides[0].median_s:.2f} ms a step, "
        f"{model.ranks.size} ranks {1000 * sides[1].median_s:.2f} ms "
        f"({sides[1].median_s / sides[0].median_s:.2f} x); "
        f"{sums.count + 1} sums of {sums.bytes_per_step(streams)} bytes together; "
        f"{messages / count:.2f} messages of {bytes_sent / messages:.0f} bytes to each rank"
    )
    for uid in range(streams):
        many.remove(uid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    size = TinyModel(hidden=options.hidden, layers=options.layers)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(Path(folder) / "model", size)
        ranks = RankGroup(make_plan(checkpoint))
        try:
            model = share(checkpoint, ranks)
            for streams in (1, 8):
                compare(model, streams, options.rounds, options.steps)
            ranks.tell(Measure())
            took_s = measure(read_sums(model.shard), ranks.group)
            print(f"the sums of a step of 1 stream by themselves: {1000 * took_s:.2f} ms")
        finally:
            ranks.stop()


if __name__ == "__main__":
    main()
