"""The hosts that share a model, as ``mlxoss status`` shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlxoss.cli.printing import to_bytes
from mlxoss.core import JsonMapping

_QUIET_S = 10
"""A silence that is worth a word: a rank says that it is there several times within its timeout."""


def ranks_rows(found: object) -> Iterator[tuple[str, str]]:
    """A row for each rank of ``/health``'s ``ranks``, and one for what a step communicates."""
    if not isinstance(found, Mapping):
        return
    for rank in found.get("ranks", ()):
        yield f"rank {rank.get('rank')}", _rank(rank)
    took_s = found.get("communication_s_per_step")
    if took_s is not None:
        backend = found.get("backend")
        yield "ranks", f"{backend}, {1000 * took_s:.1f} ms of each step to communicate (1 sequence)"


def _rank(rank: JsonMapping) -> str:
    parts = [str(rank.get("host"))]
    if rank.get("pid") is not None:
        parts.append(f"pid {rank['pid']}")
    memory = rank.get("memory") or {}
    for key, size_bytes in memory.items():
        if key in ("active_bytes", "peak_bytes", "wired_bytes"):
            parts.append(f"{key.removesuffix('_bytes')} {to_bytes(size_bytes)}")
    if rank.get("silent_s", 0) >= _QUIET_S:
        parts.append(f"silent for {rank['silent_s']:.0f} s")
    return ", ".join(parts)
