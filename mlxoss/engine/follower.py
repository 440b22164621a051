"""Keeping a guard level with a batch that samples before the host has seen the last token."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.harmony.encoding import RETURN, STOP_IDS
from mlxoss.harmony.guard import Choice, Forced, Free, Guard, Rule


@dataclass(frozen=True, slots=True)
class Only:
    """The next id is ``id``: nothing is sampled."""

    id: int


Plan = Only | Free | Choice
"""How to choose the next id. ``Free`` holds whatever ordinary id came last; if that id was
``<|end|>``, unseen so far, the next one is ``<|start|>``: nothing else follows it."""


class Follower:
    """One sequence's guard. Each step asks for one ``plan`` and tells one id by ``see``.

    A step feeds an id to the model and chooses the next. Where ``waits`` is true it must ``see``
    the id that it feeds before it may ``plan``; elsewhere it may do so afterwards, so that the
    device goes on while the host catches up. The prompt's ids are never told.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._rule: Rule = guard.rule()
        self._ahead: deque[int] = deque()
        # Ids that were planned for but that the guard has not taken; two while it lags in text.
        self._untold = 0
        self._has_ended = False

    @property
    def waits(self) -> bool:
        """Whether ``plan`` needs the id that is being fed."""
        return self._untold == 1 and not isinstance(self._rule, Free)

    @property
    def ahead(self) -> Sequence[int]:
        """The ids that are sure to follow the one being fed."""
        return self._ahead

    def skip(self, count: int) -> None:
        """Count the first ``count`` ids of ``ahead`` as planned and told."""
        for _ in range(count):
            self._ahead.popleft()

    def plan(self) -> Plan:
        """How to choose the id after the one being fed. Raises ``GuardError``."""
        if self._ahead:
            return Only(self._ahead.popleft())
        if self._has_ended:
            return Only(RETURN)  # for the row's last step; nobody will see it
        match self._rule:
            case Forced(ids):
                self._take(ids)
                self._ahead.extend(ids[1:])
                return Only(ids[0])
            case Free() | Choice() as rule:
                self._untold += 1
                return rule

    def see(self, id_: int) -> None:
        """Learn the id that is being fed. Raises ``GuardError``."""
        if not self._untold:
            return
        self._untold -= 1
        if isinstance(self._rule, Free) and id_ not in self._rule.ends:
            return
        self._take((id_,))
        if self._untold and not self._has_ended:
            # The next id was planned as the one after an unseen <|end|>.
            self._untold = 0
            assert isinstance(self._rule, Forced)
            _, *others = self._rule.ids
            self._take(self._rule.ids)
            self._ahead.extend(others)

    def _take(self, ids: Sequence[int]) -> None:
        self._guard.take(ids)
        self._has_ended = ids[-1] in STOP_IDS
        if not self._has_ended:
            self._rule = self._guard.rule()
