"""Why there is no model, for the one who can do something about it."""

from __future__ import annotations

import re

# Metal's and MLX's allocators, C++ and the system say it each in their own way.
_NO_MEMORY = re.compile(
    r"malloc|bad_alloc|out of memory|insufficient memory|(unable to|failed to|cannot) allocate",
    re.IGNORECASE,
)
_NO_READ = "Unable to read from file"
"""What MLX says when a whole file cannot be read, for which it may lack the memory."""

_REMEDY = "Choose a smaller model, or end what else needs memory; then `mlxoss restart`."


def explain_load_failure(error: BaseException) -> str:
    """One sentence, and what to do where the memory did not suffice."""
    text = str(error).strip() or type(error).__name__
    (first, *_) = text.splitlines()
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return f"The model does not fit into the memory that is free ({first}). {_REMEDY}"
    if _NO_READ in text:
        return f"{first} The memory that is free does not suffice, or the disk fails. {_REMEDY}"
    return text
