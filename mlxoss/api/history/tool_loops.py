"""Which call each tool's answer belongs to, and where a tool loop is still open."""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlxoss.api.errors import invalid


@dataclass(frozen=True, slots=True)
class CallMade:
    """A call of the tool ``name``. ``place`` counts up; ids of one ``kind`` belong together."""

    place: int
    call_id: str
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a tool answered: ``where`` is its own, ``param`` the field that holds the id."""

    place: int
    call_id: str
    where: Hashable
    param: str
    kind: str = ""


class ToolLoops:
    """The calls of a conversation and their answers, in order.

    ``names`` are those of the tools by ``where`` they answered; what answers no earlier call has
    none. Clients may use an id again, even for calls side by side: then answers belong to these
    in order. Raises InvalidRequest, naming the field, where their counts do not allow that and
    the calls are of different tools.
    """

    def __init__(self, steps: Iterable[CallMade | CallResult]) -> None:
        self._names: dict[Hashable, str] = {}
        batches = _to_batches(steps)
        for batch in batches:
            self._names |= batch.names()
        spans = sorted(batch.span for batch in batches if batch.answers)
        self._begins = [begin for begin, _ in spans]
        self._ends: list[int] = []
        for _, end in spans:
            self._ends.append(max(end, self._ends[-1] if self._ends else end))

    @property
    def names(self) -> Mapping[Hashable, str]:
        """The tools by where they answered."""
        return self._names

    def is_open(self, place: int) -> bool:
        """Whether ``place`` is behind a call and before its answer."""
        index = bisect.bisect_left(self._begins, place)
        return index > 0 and self._ends[index - 1] > place


@dataclass(slots=True)
class _Batch:
    """Calls under one id, and what was answered to it before the next such call."""

    calls: list[CallMade] = field(default_factory=list)
    answers: list[CallResult] = field(default_factory=list)

    @property
    def span(self) -> tuple[int, int]:
        return self.calls[0].place, self.answers[-1].place

    def names(self) -> dict[Hashable, str]:
        names = [call.name for call in self.calls]
        if len(set(names)) == 1:
            return {answer.where: names[0] for answer in self.answers}
        if self.answers and len(self.answers) != len(names):
            raise invalid(
                self.answers[0].param,
                f"{len(names)} calls of different tools have the id '{self.calls[0].call_id}', "
                f"answered {len(self.answers)} times: which answer belongs to which call cannot "
                "be told",
            )
        return {answer.where: name for answer, name in zip(self.answers, names, strict=False)}


def _to_batches(steps: Iterable[CallMade | CallResult]) -> Sequence[_Batch]:
    batches: list[_Batch] = []
    latest: dict[tuple[str, str], _Batch] = {}
    for step in steps:
        key = (step.kind, step.call_id)
        batch = latest.get(key)
        if isinstance(step, CallResult):
            if batch is not None:
                batch.answers.append(step)
            continue
        if batch is None or batch.answers:
            batch = latest[key] = _Batch()
            batches.append(batch)
        batch.calls.append(step)
    return batches
