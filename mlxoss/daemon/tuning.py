"""What ``mlxoss tune`` found, in the place of settings that the user has not set himself."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from mlxoss.config import Config, settings
from mlxoss.engine.checkpoint.folder import read_revision
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.errors import MlxossError
from mlxoss.tuned import Tuned, read_tuned, tuned_for

logger = logging.getLogger(__name__)


def find_tuned(config: Config, source: ModelSource, data: Path) -> tuple[Tuned | None, list[str]]:
    """The entry of this model in the ``data`` folder, and what has changed since it was measured.

    None where the setting is off, or several hosts share the model: it was measured on one.
    """
    if config.tuned == "off" or config.hostfile is not None:
        return None, []
    tuned = read_tuned(data, source.info.name)
    if tuned is None:
        return None, []
    try:
        now = tuned_for(read_revision(source.find_folder()))
    except (OSError, MlxossError):  # told where the model is loaded
        return None, []
    return tuned, now.differs(tuned.measured_for)


def apply_tuned(config: Config, source: ModelSource, data: Path) -> Config:
    """``config`` with what was found where it still holds; the log tells. Never raises."""
    tuned, changed = find_tuned(config, source, data)
    if tuned is None:
        return config
    if changed:
        logger.info("what tune found is not used: %s changed since", ", ".join(changed))
        return config
    try:
        found = {
            name: settings()[name].kind.check(value)
            for name, value in tuned.settings.items()
            if name not in config.given
        }
    except ValueError as error:
        logger.warning("what tune found is not used: a setting %s", error)
        return config
    if found:
        logger.info("tuned: %s", tuned.to_text())
    return replace(config, **found)  # type: ignore[arg-type]
