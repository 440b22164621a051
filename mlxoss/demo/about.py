"""What is known of the demo model before it is there."""

from __future__ import annotations

DEMO_NAME = "mlxoss-demo"

DEMO_CONTEXT_TOKENS = 32768
"""Coding agents begin with prompts of 4,000 to 17,000 tokens."""

DEMO_CREATED = 1_795_824_000
"""Unix time in seconds: the day it was trained; ``/v1/models`` shows it."""

DEMO_BYTES = 64_000_000
"""What its weights take in memory at most."""
