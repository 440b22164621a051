"""How close a server is to what the chip can do at all: bytes to read, operations to compute."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from mlxoss.cli.bench.chips import Chip, read_chip
from mlxoss.cli.bench.table import BenchRow
from mlxoss.core import JsonObject
from mlxoss.engine.checkpoint.folder import read_any_checkpoint
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.engine.checkpoint.reads import StepReads, prefill_operations, read_step_reads


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What ``chip`` can do and what the model wants of it. The rates are measured ones, per second
    in bytes and in operations; ``None``: not measured."""

    chip: Chip
    reads: StepReads
    read_rate: float | None = None
    multiply_rate: float | None = None

    @property
    def bandwidth(self) -> float | None:
        """What a decode step is held against: Apple's figure, else the measured one."""
        return self.chip.specified or self.read_rate

    def beside(self, row: BenchRow, streams: int, tokens: int) -> BenchRow:
        """``row`` of so many streams, whose answers have ``tokens``, with the chip's share."""
        if row.decode_per_s is not None:
            steps_per_s = row.decode_per_s / streams
            context = row.prompt_tokens + tokens // 2
            limit, reached = self.bandwidth, steps_per_s * self.reads.step_bytes(streams, context)
        else:
            new_tokens = max(1, row.prompt_tokens - row.cached_tokens)
            limit = self.multiply_rate
            each = prefill_operations(self.reads.config, new_tokens)
            reached = (row.prefill_per_s or 0) * each
        return row if limit is None else replace(row, of_chip=reached / limit)

    def to_lines(self) -> list[str]:
        """For people."""
        reads = [
            f"{rate / 1e9:.0f} GB/s {source}"
            for rate, source in (
                (self.chip.specified, "by Apple's specifications"),
                (self.read_rate, "measured"),
            )
            if rate is not None
        ]
        lines = [f"The chip, {self.chip.to_text()}, reads {', '.join(reads) or 'who knows what'}"]
        if self.multiply_rate is not None:
            lines[0] += f", and computes {self.multiply_rate / 1e12:.3g} TFLOP/s, measured"
        one, eight = (self.reads.step_bytes(rows, 0) / 1e9 for rows in (1, 8))
        each = prefill_operations(self.reads.config, 1) / 1e9
        lines[0] += "."
        lines.append(
            f"A step of 1 stream reads {one:.3g} GB of weights, of 8 streams {eight:.3g} GB; a "
            f"prompt's token takes {each:.3g} GFLOP."
        )
        return lines

    def to_json(self) -> JsonObject:
        """Its figures."""
        return {
            "chip": self.chip.name,
            "gpu_cores": self.chip.gpu_cores,
            "specified_bytes_per_s": self.chip.specified,
            "measured_bytes_per_s": self.read_rate,
            "measured_operations_per_s": self.multiply_rate,
            "step_bytes": self.reads.step_bytes(1, 0),
            "prefill_operations": prefill_operations(self.reads.config, 1),
        }


def find_ceiling(source: ModelSource, rates: tuple[float, float] | None) -> Ceiling:
    """That of this machine and a model that is here; ``rates`` are what was measured."""
    checkpoint = source.checkpoint or read_any_checkpoint(source.find_folder(), "pull it anew")
    reads = read_step_reads(checkpoint, has_metal=sys.platform == "darwin")
    return Ceiling(read_chip(), reads, *(rates or ()))
