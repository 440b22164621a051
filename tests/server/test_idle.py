"""A server whose model has left the memory: it says so, and the next request brings it back."""

from __future__ import annotations

from typing import Any

from llguidance import LLTokenizer

from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import running
from tests.support.server.scripts import always
from tests.support.waiting import until

HELLO = "<|channel|>final<|message|>Hello!<|return|>"
USER: Any = [{"role": "user", "content": "Hi"}]


def test_health_says_unloaded_and_a_request_waits_for_the_model(encoding: Encoding) -> None:
    made: list[ScriptedBackend] = []

    def load() -> ScriptedBackend:
        made.append(ScriptedBackend(always(encoding, HELLO)))
        return made[-1]

    with running(load, lambda: encoding, idle_unload_s=0.05) as server:

        def is_unloaded() -> bool:
            health = ask(server, "GET", "/health")
            assert health.status == 200
            return bool(health.json["status"] == "unloaded")

        for count in (1, 2):
            until(is_unloaded)
            assert len(made) == count
            assert all(backend.closed for backend in made)
            answer = server.client().chat.completions.create(model="m", messages=USER)
            assert answer.choices[0].message.content == "Hello!"


def test_the_grammars_tokenizer_is_made_once_however_often_the_model_is_loaded(
    encoding: Encoding, guards: GrammarCompiler
) -> None:
    made: list[LLTokenizer] = []

    def make() -> LLTokenizer:
        made.append(guards.load())
        return made[-1]

    def load() -> ScriptedBackend:
        return ScriptedBackend(always(encoding, HELLO))

    with running(load, lambda: encoding, guards=GrammarCompiler(make)) as server:
        for effort in ("low", "medium"):
            answer = server.client().chat.completions.create(
                model="m", messages=USER, reasoning_effort=effort
            )
            assert answer.choices[0].message.content == "Hello!"
            assert ask(server, "POST", "/mlxoss/unload").status == 200
    assert len(made) == 1
