"""What a host says of itself when it is asked, and how question and answer travel.

``mlxoss cluster probe`` reads one line of JSON, the question, and prints answers as lines of JSON
behind a mark: a login shell may print words of its own. Nothing stands on a command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mlxoss.core import JsonMapping, JsonObject

PROBE = ("cluster", "probe")
_MARK = "mlxoss-probe:"


@dataclass(frozen=True, slots=True)
class HostModel:
    """The model that a host would load.

    ``digest`` tells it from others by reading some of the weights, ``contents`` by reading all.
    ``commit`` is that of the Hugging Face cache. Of its ``weights_bytes`` each rank of the group
    holds ``shard_bytes``.
    """

    name: str
    commit: str | None
    digest: str
    weights_bytes: int
    shard_bytes: int
    contents: str | None = None


@dataclass(frozen=True, slots=True)
class HostMemory:
    """In bytes: what the GPU may hold, all there is, and what is free (``None``: unknown)."""

    limit_bytes: int | None
    total_bytes: int
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class HostReport:
    """A host. ``machine`` differs between machines.

    ``model`` is ``None`` where it cannot be used, for the reason ``model_error``; ``rdma`` names
    the devices, ``None`` where that could not be asked.
    """

    versions: Mapping[str, str]
    machine: str
    memory: HostMemory
    model: HostModel | None = None
    model_error: str | None = None
    rdma: tuple[str, ...] | None = None


def to_line(answer: JsonMapping) -> str:
    """An answer as it is printed."""
    return _MARK + json.dumps(answer)


def find_answer(line: str) -> JsonObject | None:
    """The answer in a line, ``None`` if there is none in it."""
    _, mark, text = line.partition(_MARK)
    try:
        answer = json.loads(text) if mark else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def to_answer(report: HostReport) -> JsonObject:
    """A report as JSON values."""
    return asdict(report)


def parse_report(answer: JsonMapping) -> HostReport | None:
    """Read a report back; ``None`` if it is one of another version."""
    try:
        model, rdma = answer["model"], answer["rdma"]
        return HostReport(
            versions=dict(answer["versions"]),
            machine=str(answer["machine"]),
            memory=HostMemory(**answer["memory"]),
            model=None if model is None else HostModel(**model),
            model_error=answer["model_error"],
            rdma=None if rdma is None else tuple(rdma),
        )
    except (KeyError, TypeError, ValueError):
        return None
