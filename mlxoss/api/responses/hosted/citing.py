"""A final answer whose marks become links, with annotations that say where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlxoss.api.answers import LogprobEntry
from mlxoss.api.hosted.citations import Citation, CitedText, FindPage
from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.writers import MessageWriter, Numbering


class CitingWriter(MessageWriter):
    """The final answer. Log probabilities of text that waits come with it."""

    def __init__(self, numbering: Numbering, index: int, item_id: str, *, cite: FindPage) -> None:
        super().__init__(numbering, index, item_id, phase="final_answer")
        self._cited = CitedText(cite)
        self._held: list[LogprobEntry] = []

    def add(
        self, text: str, token_id: int | None, logprob: LogprobEntry | None
    ) -> list[ResponseEvent]:
        """The events for what of the text is known by now."""
        self._note(token_id, logprob)
        if logprob is not None:
            self._held.append(logprob)
        return list(self._say(*self._cited.add(text)))

    def _closing(self) -> Iterator[ResponseEvent]:
        said, citations = self._cited.close()
        if said or self._held:
            yield from self._say(said, citations)
        yield from super()._closing()

    def _say(self, said: str, citations: Iterable[Citation]) -> Iterator[ResponseEvent]:
        if not said and not self._held:
            return
        self._texts.append(said)
        held, self._held = self._held, []
        yield self._delta(said, held)
        for one in citations:
            self._annotations.append(
                {
                    "type": "url_citation",
                    "start_index": one.start,
                    "end_index": one.end,
                    "url": one.url,
                    "title": one.title,
                }
            )
            yield self._make(
                "output_text.annotation.added",
                content_index=0,
                annotation_index=len(self._annotations) - 1,
                annotation=self._annotations[-1],
            )
