"""How much random tests try: more with an environment variable, and again with a seed."""

from __future__ import annotations

import os
import random

EXAMPLES = int(os.environ.get("MLXOSS_FUZZ_EXAMPLES", "8"))
"""Requests for each operation with either kind of data."""

SEED = int(os.environ.get("MLXOSS_FUZZ_SEED", random.randrange(2**32)))
