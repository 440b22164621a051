"""What the model wrote when it was asked to sum a conversation up."""

from __future__ import annotations

from collections.abc import Iterable

from mlxoss.api.turn_request import TurnOutput
from mlxoss.harmony.events import Channel, ContentDelta, MessageStart


class Summary:
    """The final text of a turn."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._is_final = False

    @property
    def text(self) -> str:
        """It as far as it came."""
        return "".join(self._texts)

    def add(self, outputs: Iterable[TurnOutput]) -> None:
        """Take in what the turn brought."""
        for output in outputs:
            match output.event:
                case MessageStart() as start:
                    self._is_final = start.channel is Channel.FINAL and start.recipient is None
                case ContentDelta(text) if self._is_final:
                    self._texts.append(text)
