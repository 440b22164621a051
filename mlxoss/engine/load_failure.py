"""Why there is no model, for the one who can do something about it."""

from __future__ import annotations

import re

# Metal's and MLX's allocators, C++ and the system say it each in their own way.
_NO_MEMORY = re.compile(
    r"malloc|bad_alloc|out of memory|insufficient memory|(unable|failed|cannot) to? ?allocate",
    re.IGNORECASE,
)


def explain_load_failure(error: BaseException) -> str:
    """One sentence, and what to do where the memory did not suffice."""
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, MemoryError) and not _NO_MEMORY.search(text):
        return text
    return (
        f"The model does not fit into the memory that is free ({text.splitlines()[0]}). Choose a "
        "smaller model, or end what else needs memory; then `mlxoss restart`."
    )
