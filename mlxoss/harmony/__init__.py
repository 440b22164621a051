"""Harmony in token ids: conversations in, events out. Pure; no I/O but the bundled vocabulary."""
