"""Compiling turns' grammars, with the vocabulary they are about.

Theory of operation. What a request allows goes through four forms:

1. ``TurnRules``: which functions may be called, and the form of each body (made by
   ``mlxoss.api``).
2. A text (``render_grammar``): one grammar of the whole turn, headers included, in which each body
   is a grammar of its own. Nothing is compiled yet; what is too long or asks too much is refused.
   Equal rules give equal texts, so the text is the key under which compiled grammars are kept.
3. A ``TurnGrammar``: the text compiled by llguidance. If that fails each body is compiled by
   itself, only to find the request's field that is at fault.
4. A ``GrammarMatcher``: a copy for one sequence, which follows it token by token. It is made on
   the engine's thread when the sequence is admitted, and belongs to it.

The order of threads: compiling takes up to half a second without the interpreter's lock, so it is
called on a thread beside the event loop. The tokenizer, by which llguidance knows the vocabulary
(``mlxoss.harmony.grammar.tokenizer``), takes 0.5 s and keeps the lock; it is made once, by whoever
needs it first, normally while the model loads (``mlxoss.turns.encoding_loader``).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from mlxoss.errors import InvalidRequest
from mlxoss.harmony.grammar.matcher import GrammarMatcher
from mlxoss.harmony.grammar.reasons import to_reason
from mlxoss.harmony.grammar.relax import relax, to_key
from mlxoss.harmony.grammar.render import render_body_grammar, render_grammar, unusable
from mlxoss.harmony.grammar.rules import CallRule, TurnRules

logger = logging.getLogger(__name__)

MOST_GRAMMARS = 64
MOST_UNUSABLE = 1024
"""Schemas that are known not to compile, by tool."""


class TurnGrammar:
    """A ``Grammar`` that was compiled. Any thread."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def make_matcher(self) -> GrammarMatcher:
        """A guard at the start of a turn."""
        return GrammarMatcher(self._matcher.deep_copy())


class GrammarCompiler:
    """Compiles grammars. Any thread may call any method.

    ``make_tokenizer`` is called once, by the first call that needs it; others wait. The last
    ``MOST_GRAMMARS`` compiled grammars are kept, by what they allow.
    """

    def __init__(self, make_tokenizer: Callable[[], LLTokenizer]) -> None:
        self._make_tokenizer = make_tokenizer
        self._tokenizer: LLTokenizer | None = None
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._grammars: OrderedDict[str, TurnGrammar] = OrderedDict()
        self._unusable: OrderedDict[bytes, None] = OrderedDict()

    def load(self) -> LLTokenizer:
        """Make the tokenizer unless that was done. Raises what making it raises."""
        with self._loading:
            if self._tokenizer is None:
                self._tokenizer = self._make_tokenizer()
            return self._tokenizer

    def compile(self, rules: TurnRules) -> TurnGrammar:
        """The grammar of ``rules``, compiled unless that was done for equal rules.

        Milliseconds for usual schemas and about half a second for the largest, or for hundreds of
        tools of which some cannot be enforced, without the interpreter's lock. Raises
        ``InvalidRequest`` naming the body that cannot be enforced; the arguments of calls that are
        not strict are any object then.
        """
        rules = self._relaxed(rules)
        try:
            return self._compile(rules)
        except InvalidRequest as error:
            if all(call.is_strict for call in rules.calls):
                raise
            return self._compile_relaxed(rules, error)

    def _relaxed(self, rules: TurnRules) -> TurnRules:
        """``rules`` without what is known to be unusable."""
        with self._lock:
            known = frozenset(self._unusable)
        return relax(rules, lambda call: to_key(call) in known) if known else rules

    def _compile_relaxed(self, rules: TurnRules, error: InvalidRequest) -> TurnGrammar:
        """The grammar of ``rules`` without what cannot be enforced: some schemas, or all at once.

        Raises ``error`` where it is not about those.
        """
        reasons = {call.name: self._reason(call) for call in rules.calls if not call.is_strict}
        unusable = {name: reason for name, reason in reasons.items() if reason is not None}
        if unusable:
            self._note(rules, unusable)
            return self.compile(rules)
        try:
            grammar = self._compile(relax(rules, lambda call: True))
        except InvalidRequest:
            raise error from None
        logger.info("calls of %d tools take any object: together, %s", len(reasons), error)
        return self._keep(render_grammar(rules), grammar)

    def _note(self, rules: TurnRules, unusable: Mapping[str, str]) -> None:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in unusable.items())
        logger.info("calls of these tools take any object: %s", reasons)
        with self._lock:
            for call in rules.calls:
                if call.name in unusable:
                    self._unusable[to_key(call)] = None
            while len(self._unusable) > MOST_UNUSABLE:
                self._unusable.popitem(last=False)

    def _reason(self, call: CallRule) -> str | None:
        """Why the body of ``call`` cannot be enforced by itself, ``None`` if it can."""
        try:
            text = render_grammar(TurnRules(calls=(call,)))
        except InvalidRequest as error:
            return str(error)
        return self._try(text)[1]

    def _compile(self, rules: TurnRules) -> TurnGrammar:
        text = render_grammar(rules)
        known = self._find(text)
        if known is not None:
            return known
        matcher, error = self._try(text)
        if error is not None:
            for param, body in rules.bodies():
                _, reason = self._try(render_body_grammar(body))
                if reason is not None:
                    raise unusable(param, reason)
            raise unusable("tools", error)
        return self._keep(text, TurnGrammar(matcher))

    def _find(self, text: str) -> TurnGrammar | None:
        with self._lock:
            known = self._grammars.get(text)
            if known is not None:
                self._grammars.move_to_end(text)
            return known

    def _keep(self, text: str, grammar: TurnGrammar) -> TurnGrammar:
        with self._lock:
            self._grammars[text] = grammar
            while len(self._grammars) > MOST_GRAMMARS:
                self._grammars.popitem(last=False)
        return grammar

    def _try(self, text: str) -> tuple[LLMatcher, str | None]:
        """A matcher for the grammar in ``text``, and why it cannot be used if so."""
        matcher = LLMatcher(self.load(), text, log_level=0, limits=_limits())
        return matcher, to_reason(matcher.get_error()) if matcher.is_error() else None


def _limits() -> LLParserLimits:
    return LLParserLimits(
        max_grammar_size=100_000,
        # Optional properties may each follow each: 500 of them need more than the usual 50,000.
        step_max_items=400_000,
        max_items_in_row=20_000,
        initial_lexer_fuel=500_000,
        verbose_errors=False,
    )
