"""What ``mlxoss doctor`` and ``status`` say of what was tuned."""

from __future__ import annotations

from pathlib import Path

from mlxoss.config import Config
from mlxoss.daemon.tuning import find_tuned
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.findings import Check, Level
from mlxoss.tuned import read_tuned, tuned_for

_NAME = "tuned"
_REMEDY = "mlxoss tune"


def check_tuned(config: Config, source: ModelSource, data: Path) -> Check:
    """Whether there is something, and whether it still holds."""
    if config.tuned == "off":
        return Check(_NAME, Level.SKIP, "tuned is off")
    if config.hostfile is not None:
        return Check(_NAME, Level.SKIP, "several hosts share the model, and one is measured")
    tuned, changed = find_tuned(config, source, data)
    if tuned is None:
        return Check(_NAME, Level.SKIP, "not measured for this model; mlxoss tune does it")
    if changed:
        detail = f"stale, {' and '.join(changed)} changed since {tuned.date}: not used"
        return Check(_NAME, Level.WARN, detail, _REMEDY)
    detail = tuned.to_text()
    if own := sorted(set(tuned.settings) & config.given):
        detail += f"; but {', '.join(own)} is set in the configuration, which counts"
    return Check(_NAME, Level.OK, detail)


def show_tuned(config: Config, model: str, data: Path) -> str | None:
    """The row of ``status``; ``None`` where nothing was found. Looks at no file of the model."""
    if config.tuned == "off" or config.hostfile is not None:
        return None
    tuned = read_tuned(data, model)
    if tuned is None:
        return None
    if changed := tuned_for(tuned.measured_for.model).differs(tuned.measured_for):
        return f"not used, {' and '.join(changed)} changed since; mlxoss tune"
    return tuned.to_text()
