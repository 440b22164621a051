"""The bundled demo model: a tiny ``gpt_oss`` that answers in correct Harmony.

Only the trained rows of its embedding and head are shipped; `expand_demo` makes
the checkpoint folder that is loaded like any other model's.
"""

from __future__ import annotations

from pathlib import Path

DEMO_NAME = "mlxoss-demo"

DEMO_CONTEXT_TOKENS = 4096

DEMO_CREATED = 1_795_305_600
"""Unix time in seconds: the day it was trained; ``/v1/models`` shows it."""


def expand_demo(cache_dir: Path) -> Path:
    """The demo's checkpoint folder inside ``cache_dir``, made or repaired if need be.

    See `mlxoss.demo.expand.expand`, which this imports only when called: numpy takes
    longer to load than a daemon has until its first answer.
    """
    from mlxoss.demo.expand import expand

    return expand(cache_dir)
