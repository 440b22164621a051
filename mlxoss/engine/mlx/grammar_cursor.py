"""Keeping a grammar level with a batch that samples before the host has seen the last token."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.harmony.encoding import RETURN, STOP_IDS
from mlxoss.harmony.grammar.matcher import Choice, Forced, Free, GrammarMatcher, Rule


@dataclass(frozen=True, slots=True)
class Only:
    """The next id is ``id``: nothing is sampled."""

    id: int


StepChoice = Only | Free | Choice
"""How to choose the next id. ``Free`` holds whatever ordinary id came last; if that id was
``<|end|>``, unseen so far, the next one is ``<|start|>``: nothing else follows it."""


class GrammarCursor:
    """A sequence's place in its grammar. Each step asks for a ``plan`` and tells an id by ``see``.

    A step feeds an id to the model and chooses the next. Where ``waits`` is true it must ``see``
    the id that it feeds before it may ``plan``; elsewhere it may do so afterwards, so that the
    device goes on while the host catches up. The first id fed is the prompt's last.
    """

    def __init__(self, matcher: GrammarMatcher) -> None:
        self._matcher = matcher
        self._rule: Rule = matcher.rule()
        self._ahead: deque[int] = deque()
        self._has_ended = False
        # Whether the matcher has taken the id being fed, and the one after it (None: not planned).
        self._fed_is_taken = True
        self._next_is_taken: bool | None = None
        self._has_seen = False

    @property
    def waits(self) -> bool:
        """Whether ``plan`` needs the id that is being fed."""
        return not self._fed_is_taken and not isinstance(self._rule, Free)

    @property
    def ahead(self) -> Sequence[int]:
        """The ids that are sure to follow the one being fed."""
        return self._ahead

    def skip(self, count: int) -> None:
        """Count the first ``count`` ids of ``ahead`` as fed."""
        for _ in range(count):
            self._ahead.popleft()

    def plan(self) -> StepChoice:
        """How to choose the id after the one being fed. Raises ``GrammarError``."""
        plan = self._plan()
        self._next_is_taken = isinstance(plan, Only)
        self._end_step()
        return plan

    def see(self, id_: int) -> None:
        """Learn the id that is being fed. Raises ``GrammarError``."""
        if not self._fed_is_taken:
            self._catch_up(id_)
        self._has_seen = True
        self._end_step()

    def _plan(self) -> StepChoice:
        if not self._ahead and not self._has_ended and isinstance(self._rule, Forced):
            forced = self._rule.ids
            self._take(forced)
            self._ahead.extend(forced)
        if self._ahead:
            return Only(self._ahead.popleft())
        if self._has_ended:
            return Only(RETURN)  # for the row's last step; nobody will see it
        assert not isinstance(self._rule, Forced)
        return self._rule

    def _catch_up(self, id_: int) -> None:
        self._fed_is_taken = True
        if isinstance(self._rule, Free) and id_ not in self._rule.ends:
            return
        self._take((id_,))
        if self._next_is_taken is None or self._has_ended:
            return
        # The next id was planned already, as the one after an unseen <|end|>.
        assert isinstance(self._rule, Forced)
        _, *others = self._rule.ids
        self._take(self._rule.ids)
        self._ahead.extend(others)
        self._next_is_taken = True

    def _take(self, ids: Sequence[int]) -> None:
        self._matcher.take(ids)
        self._has_ended = ids[-1] in STOP_IDS
        if not self._has_ended:
            self._rule = self._matcher.rule()

    def _end_step(self) -> None:
        if self._has_seen and self._next_is_taken is not None:
            self._fed_is_taken = self._next_is_taken
            self._next_is_taken = None
            self._has_seen = False
