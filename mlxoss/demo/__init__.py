"""The bundled demo model: a tiny ``gpt_oss`` that answers in correct Harmony.

Only the trained rows of its embedding and head are shipped; `expand_demo` makes
the checkpoint folder that is loaded like any other model's.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

from mlxoss.core import JsonObject
from mlxoss.demo.about import DEMO_BYTES, DEMO_CONTEXT_TOKENS, DEMO_CREATED, DEMO_NAME

__all__ = [
    "DEMO_BYTES",
    "DEMO_CONTEXT_TOKENS",
    "DEMO_CREATED",
    "DEMO_NAME",
    "expand_demo",
    "read_demo_config",
]


def expand_demo(cache_dir: Path) -> Path:
    """The demo's checkpoint folder inside ``cache_dir``, made or repaired if need be.

    See `mlxoss.demo.expand.expand`, which this imports only when called: numpy takes
    longer to load than a daemon has until its first answer.
    """
    from mlxoss.demo.expand import expand

    return expand(cache_dir)


def read_demo_config() -> JsonObject:
    """The ``config.json`` that `expand_demo` will write."""
    config: JsonObject = json.loads(_read_manifest())["config"]
    return config


@cache
def _read_manifest() -> bytes:
    """Read once: an upgrade may remove it under a daemon, which loads its model again."""
    return (resources.files("mlxoss.demo") / "data" / "manifest.json").read_bytes()
