"""A run as a text to paste elsewhere: figures, versions and sizes, and nobody's names."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from mlxoss import __version__
from mlxoss.cli.bench.table import BenchReport
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.system.chip import chip_name
from mlxoss.system.memory import machine_bytes


def to_share(report: BenchReport, source: ModelSource | None) -> str:
    """In Markdown. The server's address and the model's name, which may be a folder's, stay out;
    ``source`` is the model if it is here."""
    lines = ["### mlxoss bench", ""]
    if source is None:
        lines.append("A server elsewhere.")
    else:
        lines += [f"- {fact}" for fact in (_machine(), _model(source), _versions())]
    lines += ["", "```text", f"medians of {report.rounds}", *report.table(), "```"]
    if report.device:
        lines += ["", *report.device]
    return "\n".join(lines)


def _machine() -> str:
    system = platform.mac_ver()[0]
    system = f"macOS {system}" if system else platform.system()
    return f"{chip_name()}, {machine_bytes() / (1 << 30):.0f} GiB, {system}"


def _model(source: ModelSource) -> str:
    if source.checkpoint is None:
        return "the demo model"
    config, size = source.checkpoint.config, source.weights_bytes / 1e9
    kinds = sorted({tensor.dtype for tensor in source.checkpoint.tensors.values()})
    return (
        f"gpt_oss, {config.num_hidden_layers} layers, {config.num_local_experts} experts, "
        f"{size:.3g} GB ({source.checkpoint.layout}: {', '.join(kinds)})"
    )


def _versions() -> str:
    return ", ".join(
        [f"mlxoss {__version__}", *(f"{name} {_version(name)}" for name in ("mlx", "mlx-lm"))]
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
