"""The bundled demo model: a tiny ``gpt_oss`` that answers in correct Harmony.

Only the trained rows of its embedding and head are shipped; `expand_demo` makes
the checkpoint folder that is loaded like any other model's.
"""

from __future__ import annotations

from mlxoss.demo.expand import (
    DEMO_CONTEXT_TOKENS,
    DEMO_CREATED,
    DEMO_NAME,
    expand_demo,
)

__all__ = ["DEMO_CONTEXT_TOKENS", "DEMO_CREATED", "DEMO_NAME", "expand_demo"]
