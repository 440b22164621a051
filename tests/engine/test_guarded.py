"""Turns under a grammar on a random model: well formed, whatever they are batched with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlxoss.core import FinishReason, GenerationRequest, SamplingParams
from mlxoss.engine.batch import LanguageModel, MlxBackend
from mlxoss.engine.loader import load_folder
from mlxoss.harmony.encoding import CALL, END, RETURN, STOP_IDS, Encoding, load_encoding
from mlxoss.harmony.events import Channel, ContentDelta, MessageStart
from mlxoss.harmony.guard import Guard, GuardError
from mlxoss.harmony.guards import Guards
from mlxoss.harmony.parser import TurnParser
from mlxoss.harmony.rules import CallRule, FreeText, Json, Regex, TurnRules
from tests.checkpoints import TinyModel, write_checkpoint
from tests.engine.harness import Outcome, drain, make_request, run_batch, with_sampling

PLACE = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 8},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
ANSWER = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0}},
    "required": ["ok"],
    "additionalProperties": False,
}
WEATHER = CallRule("get_weather", Json(PLACE))
ANY = CallRule("get", Json({"type": "object"}))
STAMP = CallRule("stamp", Regex(r"\d{2}/\d{2}"))
NOTE = CallRule("note", FreeText())
ALL = (WEATHER, ANY, STAMP, NOTE)

MODES = {
    "chat": TurnRules(),
    "auto": TurnRules(calls=ALL, preambles=True),
    "auto, one call": TurnRules(calls=ALL, preambles=True, parallel_calls=False),
    "required": TurnRules(calls=ALL, preambles=True, must_call=True),
    "named": TurnRules(calls=(WEATHER,), must_call=True, parallel_calls=False),
    "allowed": TurnRules(calls=(STAMP, WEATHER), preambles=True),
    "schema": TurnRules(final=Json(ANSWER)),
    "tools and schema": TurnRules(calls=ALL, preambles=True, final=Json(ANSWER)),
}
PROMPT = list(range(1000, 1020))

# An untrained model ends nothing by itself: ends and JSON's own signs are made likely.
LIKELY = {END: 10.0, RETURN: 10.0, CALL: 10.0} | {ord(sign) - ord("!"): 8.0 for sign in '"}],'}


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    return load_encoding()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = Path(tmp_path_factory.mktemp("full"))
    return load_folder(write_checkpoint(folder, TinyModel(hidden=32)))


def make_backend(model: LanguageModel, **options: Any) -> MlxBackend:
    return MlxBackend(model, **options)


def guarded(
    guards: Guards, rules: TurnRules, *, max_tokens: int = 200, **sampling: Any
) -> GenerationRequest:
    params = SamplingParams(temperature=1.0, logit_bias=LIKELY)
    request = make_request(PROMPT, max_tokens, params, STOP_IDS)
    request = with_sampling(request, **sampling)
    return GenerationRequest(
        request.prompt_ids,
        request.max_tokens,
        request.stop_ids,
        request.sampling,
        guards.compile(rules),
    )


@dataclass
class Read:
    """A turn as the parser sees it: (channel, recipient, text), and what it put right."""

    messages: list[tuple[Channel, str | None, str]]
    recoveries: Counter[str]


def read(encoding: Encoding, rules: TurnRules, ids: Sequence[int]) -> Read:
    parser = TurnParser(encoding, [call.name for call in rules.calls])
    messages: list[tuple[Channel, str | None, str]] = []
    for event in (event for id_ in ids for event in parser.feed(id_)):
        match event:
            case MessageStart(channel, recipient):
                messages.append((channel, recipient, ""))
            case ContentDelta(text):
                channel, recipient, before = messages[-1]
                messages[-1] = channel, recipient, before + text
    return Read(messages, parser.recoveries)


def check_turn(encoding: Encoding, rules: TurnRules, outcome: Outcome) -> None:
    """The turn parses without a recovery, and follows its rules."""
    turn = read(encoding, rules, outcome.ids)
    assert outcome.error is None
    assert not turn.recoveries
    if outcome.tokens[-1].finish is FinishReason.LENGTH:
        return
    bodies = {call.name: call.body for call in rules.calls}
    calls = [(name, text) for _, name, text in turn.messages if name is not None]
    finals = [text for channel, name, text in turn.messages if channel is Channel.FINAL]
    assert all(name in bodies for name, _ in calls)
    for name, text in calls:
        _check_body(bodies[name], text)
    for text in finals:
        _check_body(rules.final, text)
    assert len(finals) == (outcome.ids[-1] == RETURN)
    assert calls or not rules.must_call
    assert rules.parallel_calls or len(calls) <= 1


def _check_body(body: object, text: str) -> None:
    match body:
        case Json(schema):
            jsonschema.validate(json.loads(text), schema)
        case Regex():
            assert len(text) == 5


TURNS_EACH = 12


@pytest.mark.parametrize("rules", MODES.values(), ids=MODES)
def test_every_turn_is_well_formed(
    model: LanguageModel, guards: Guards, encoding: Encoding, rules: TurnRules
) -> None:
    backend = make_backend(model, max_batch=TURNS_EACH)
    requests = [guarded(guards, rules, seed=seed or None) for seed in range(TURNS_EACH)]
    outcomes = run_batch(backend, requests)
    for outcome in outcomes:
        check_turn(encoding, rules, outcome)
    ended = [o for o in outcomes if o.tokens[-1].finish is FinishReason.STOP]
    assert len(ended) >= TURNS_EACH // 2


def test_modes_share_a_batch(model: LanguageModel, guards: Guards, encoding: Encoding) -> None:
    backend = make_backend(model, max_batch=2 * len(MODES))
    plain = make_request(PROMPT, 40, SamplingParams(temperature=1.0, seed=5))
    requests = [plain, *(guarded(guards, rules) for rules in MODES.values())]
    first, *outcomes = run_batch(backend, requests)
    for rules, outcome in zip(MODES.values(), outcomes, strict=True):
        check_turn(encoding, rules, outcome)
    (alone,) = run_batch(make_backend(model), [plain])
    assert first.ids == alone.ids


@pytest.mark.parametrize("mode", MODES)
def test_greedy_alone_equals_greedy_in_a_batch(
    model: LanguageModel, guards: Guards, mode: str
) -> None:
    """Alone, forced ids go through the model together; in a batch one by one."""
    request = guarded(guards, MODES[mode], max_tokens=160, temperature=0.0)
    others = [guarded(guards, rules, temperature=0.0) for rules in MODES.values()]
    (alone,) = run_batch(make_backend(model), [request])
    together, *_ = run_batch(make_backend(model, max_batch=9), [request, *others])
    assert alone.ids == together.ids


def test_a_seeded_turn_is_the_same_alone_and_in_a_batch(
    model: LanguageModel, guards: Guards
) -> None:
    request = guarded(guards, MODES["auto"], seed=7)
    others = [guarded(guards, rules) for rules in MODES.values()]
    (alone,) = run_batch(make_backend(model), [request])
    together, *_ = run_batch(make_backend(model, max_batch=9), [request, *others])
    assert alone.ids == together.ids


def test_log_probabilities_are_the_models_own(model: LanguageModel, guards: Guards) -> None:
    request = guarded(guards, MODES["schema"], seed=3, top_logprobs=2, logit_bias={}, max_tokens=30)
    (outcome,) = run_batch(make_backend(model), [request])
    first = outcome.tokens[0]
    assert first.logprob is not None
    # Untrained, and only one id was allowed: it cost what it would cost among all of them.
    assert first.logprob.logprob < -5
    assert len(first.logprob.top) == 2


def test_a_cut_turn_ends_by_length(model: LanguageModel, guards: Guards) -> None:
    for max_tokens in range(1, 24):
        request = guarded(guards, MODES["named"], max_tokens=max_tokens, temperature=0.0)
        (outcome,) = run_batch(make_backend(model), [request])
        assert len(outcome.ids) <= max_tokens
        if outcome.ids[-1] not in STOP_IDS:
            assert outcome.tokens[-1].finish is FinishReason.LENGTH
            assert len(outcome.ids) == max_tokens


class Broken:
    """A grammar that cannot be followed: the turn has left it already."""

    def __init__(self, guards: Guards) -> None:
        self._grammar = guards.compile(TurnRules())

    def make_guard(self) -> Guard:
        guard = self._grammar.make_guard()
        with pytest.raises(GuardError):
            guard.take([RETURN])
        return guard


def test_what_cannot_be_followed_fails_its_own_request(
    model: LanguageModel, guards: Guards, encoding: Encoding
) -> None:
    backend = make_backend(model)
    good = guarded(guards, MODES["schema"])
    backend.insert(0, good)
    bad = GenerationRequest((1,), 5, STOP_IDS, grammar=Broken(guards))
    with pytest.raises(GuardError):
        backend.insert(1, bad)
    check_turn(encoding, MODES["schema"], drain(backend, [0])[0])
