"""``return_progress``: a stream that tells how far its prompt is. Source: llama.cpp's server."""

from __future__ import annotations

from mlxoss.api.answers import PromptProgressReport
from mlxoss.api.errors import invalid
from mlxoss.engine.progress import PromptProgress

FIELD = "return_progress"


def check_progress(*, is_wanted: bool | None, is_stream: bool | None) -> None:
    """Raise InvalidRequest where nobody could be told."""
    if is_wanted and not is_stream:
        raise invalid(FIELD, "only a stream can tell of it: set 'stream' to true")


def to_report(prompt: PromptProgress) -> PromptProgressReport:
    """What a stream tells."""
    return {
        "total": prompt.prompt_tokens,
        "cache": prompt.cached_tokens,
        "processed": prompt.done_tokens,
        "time_ms": round(prompt.elapsed_s * 1000),
    }
