"""Sizes in words."""

from __future__ import annotations


def to_bytes(count: int) -> str:
    """A size for people, in decimal units."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
