"""Fresh ids."""

from __future__ import annotations

import secrets


def new_id(prefix: str) -> str:
    """A fresh id that cannot be guessed."""
    return prefix + secrets.token_hex(12)
