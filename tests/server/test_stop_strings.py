"""Stop strings end an answer and are never seen."""

from __future__ import annotations

from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.server.test_chat import content, finish_reasons
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import ask_chat
from tests.support.server.scripts import always, final

USER: Any = [{"role": "user", "content": "Hello!"}]


@pytest.mark.parametrize(
    ("text", "stop", "visible"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "o t"], "one tw"),
        ("a.b.c\n\nd", ["\n\n"], "a.b.c"),
        ("a 🎉 b", "🎉", "a "),
        ("ends with almost END", "END!", "ends with almost END"),
        ("stop at once", "stop", ""),
        ("abcabcabd", "abcabd", "abc"),
    ],
)
def test_stop_strings(serve: Serve, text: str, stop: Any, visible: str) -> None:
    backend_text = f"<|channel|>analysis<|message|>{text}<|end|><|start|>assistant" + final(text)
    client = serve(backend_text).client()
    whole = client.chat.completions.create(model="x", messages=USER, stop=stop).choices[0]
    assert (whole.message.content, whole.finish_reason) == (visible, "stop")
    assert whole.message.to_dict()["reasoning"] == text
    chunks = list(client.chat.completions.create(model="x", messages=USER, stop=stop, stream=True))
    assert content(chunks) == visible
    assert finish_reasons(chunks) == ["stop"]


@pytest.mark.parametrize("ending", ["<|return|>", "<|start|>assistant<|channel|>analysis"])
def test_a_stop_string_in_a_message_without_a_body(serve: Serve, ending: str) -> None:
    choice = ask_chat(serve(f"<|channel|>final one two three{ending}"), stop="two").json["choices"][
        0
    ]
    assert choice["message"]["content"] == "one "
    assert choice["finish_reason"] == "stop"


def test_a_stop_string_ends_the_generation(serve: Serve, encoding: Encoding) -> None:
    ids = [*always(encoding, "<|channel|>final<|message|>one two three")(...)] * 50  # type: ignore[arg-type]
    backend = ScriptedBackend(lambda request: ids, step_s=0.002)
    server = serve(backend)
    usage = ask_chat(server, stop="two").json["usage"]
    assert usage["completion_tokens"] == 5
    assert ask_chat(server, max_tokens=3).status == 200
    assert backend.active == 0


def test_logprobs_of_a_stop_string_stay_inside(serve: Serve) -> None:
    choice = ask_chat(serve(final("one two three")), stop="two", logprobs=True).json["choices"][0]
    tokens = [entry["token"] for entry in choice["logprobs"]["content"]]
    assert "".join(tokens) in ("one", "one ")
    assert all(entry["top_logprobs"] == [] for entry in choice["logprobs"]["content"])
