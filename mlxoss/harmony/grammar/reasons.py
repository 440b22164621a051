"""Why a schema or a definition cannot be enforced, in this server's words."""

from __future__ import annotations

import re

_WORDS = (
    (
        re.compile(r"oneOf constraints are not supported.*"),
        "more than one branch of a oneOf may match the same value",
    ),
    (
        re.compile(r"Resource '([^']*)' is not present in a registry.*"),
        r"it refers to '\1', and nothing is fetched",
    ),
    (
        re.compile(r"Unimplemented keys: \[([^\]]*)\]"),
        r"no grammar can follow the keywords \1",
    ),
    (
        re.compile(r"Failed to generate regex for (\w+) range: .*"),
        r"its bounds of a \1 are too far out",
    ),
    # Advice to whoever writes a program with llguidance.
    (re.compile(r"[.;,]?\s*\b(?:[Ee]nable|[Cc]onsider)\s.*"), ""),
)


def to_reason(error: str) -> str:
    """llguidance's ``error`` without its advice, on one line and without a full stop."""
    reason = " ".join(error.split())
    for pattern, words in _WORDS:
        reason = pattern.sub(words, reason)
    return reason.rstrip(".")
