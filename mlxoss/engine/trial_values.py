"""What a trial of ``mlxoss tune`` is told and what it answers, without MLX."""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 4
"""Of the batch that decodes beside a single sequence."""


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """What to measure: the checkpoint in ``folder`` of ``weights_bytes``, under the settings of
    those names. ``tokens`` are decoded in all, prompts have ``prompt_tokens``, and a pause lasts
    ``pause_s``."""

    folder: str
    weights_bytes: int
    command_buffers: str
    fused_experts: bool
    compiled_layers: bool
    plain_caches: bool
    fp16: bool
    wired: str
    keep_warm: int = 0
    tokens: int = 96
    prompt_tokens: int = 2000
    pause_s: float = 2.0


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Samples: tokens per second that one row and ``ROWS`` together decode, and of a prompt;
    seconds of the first step after a pause. ``ids`` tells the greedy tokens of all rows from any
    others, ``peak_bytes`` is MLX's."""

    decode: list[float]
    decode_rows: list[float]
    prefill: list[float]
    pause_s: list[float]
    ids: str
    peak_bytes: int
