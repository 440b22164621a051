"""The line that stands where the answer will while a long prompt is computed, or a tool runs."""

from __future__ import annotations

from mlxoss.cli.client.pieces import ProgressPiece
from mlxoss.cli.printing import to_estimate

LEAST_S = 1.0
"""What is done sooner has no bar."""

_CELLS = 24
_ERASE = "\r\x1b[2K"


class PromptBar:
    """What a terminal is sent to show it, and to take it away."""

    def __init__(self) -> None:
        self._is_shown = False

    def draw(self, piece: ProgressPiece) -> str:
        """The bar as of ``piece``, or nothing where the wait is none."""
        left_s = piece.left_s
        if left_s is None or piece.elapsed_s + left_s < LEAST_S:
            return ""
        self._is_shown = True
        return _ERASE + to_bar(piece, left_s)

    def say(self, line: str) -> str:
        """``line``, which fits a terminal's width, in its place."""
        self._is_shown = True
        return _ERASE + line

    def clear(self) -> str:
        """What takes it away."""
        was_shown, self._is_shown = self._is_shown, False
        return _ERASE if was_shown else ""


def to_bar(piece: ProgressPiece, left_s: float) -> str:
    """One line of at most 80 columns."""
    full = round(_CELLS * piece.done / max(piece.total, 1))
    bar = "\u2588" * full + "\u2591" * (_CELLS - full)
    return f"prompt {bar} {piece.done:,} of {piece.total:,} tokens, {to_estimate(left_s)} left"
