"""An answer's citations as numbers: the links that they are in its text are long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlxoss.cli.client.pieces import ContentPiece, Source

_LINK = "]("


class CitedAnswer:
    """The deltas of an answer, each with what a terminal shows of it.

    What a delta cites is told behind it, so one that holds a link waits for the next event.
    Indices count code points of the whole text.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, Source] = {}
        self._length = 0
        self._held = ""
        self._spans: list[tuple[int, int, int]] = []

    @property
    def sources(self) -> tuple[Source, ...]:
        """Each once, in the order of their numbers."""
        return tuple(self._numbers.values())

    def add(self, text: str) -> Iterator[ContentPiece]:
        """What can be shown with ``text``."""
        yield from self.flush()
        if _LINK in text:
            self._held = text
            return
        self._length += len(text)
        yield ContentPiece(text)

    def cite(self, annotation: Mapping[str, Any]) -> None:
        """Take in what is cited."""
        if annotation.get("type") != "url_citation":
            return
        url, start, end = (annotation[name] for name in ("url", "start_index", "end_index"))
        self._numbers.setdefault(url, Source(annotation.get("title") or "", url))
        self._spans.append((start, end, [*self._numbers].index(url) + 1))

    def flush(self) -> Iterator[ContentPiece]:
        """What waited."""
        text, self._held = self._held, ""
        spans, self._spans = self._spans, []
        if text:
            yield ContentPiece(text, "".join(self._marked(text, spans)))
        self._length += len(text)

    def _marked(self, text: str, spans: list[tuple[int, int, int]]) -> Iterator[str]:
        at = 0
        for start, end, number in spans:
            start, end = start - self._length, end - self._length
            if at <= start < end <= len(text):
                yield f"{text[at:start]}[{number}]"
                at = end
        yield text[at:]
