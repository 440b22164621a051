"""Raw completions as the official client sees them."""

from __future__ import annotations

import itertools
from typing import Any

import openai
import pytest
from openai.types import Completion

from mlxoss.harmony.encoding import END, END_OF_TEXT, START, VOCAB_SIZE, Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import Server
from tests.support.server.scripts import to_ids

WRITTEN = "once <|start|>upon<|channel|> a 🎉 time"
READ = "once upon a 🎉 time"


@pytest.fixture
def backend(encoding: Encoding) -> ScriptedBackend:
    ids = [*to_ids(encoding, WRITTEN), END_OF_TEXT, *to_ids(encoding, " unseen")]
    return ScriptedBackend(lambda request: ids)


@pytest.fixture
def server(serve: Serve, backend: ScriptedBackend) -> Server:
    return serve(backend)


def create(server: Server, **fields: Any) -> Completion:
    wanted: Any = {"model": "m", "prompt": "Say: ", "max_tokens": 100} | fields
    completion: Completion = server.client().completions.create(**wanted)
    Completion.model_validate(completion.model_dump(), strict=True)
    return completion


def test_text_goes_in_and_comes_out_raw(
    server: Server, backend: ScriptedBackend, encoding: Encoding
) -> None:
    completion = create(server, prompt="<|start|>user", echo=True)
    (choice,) = completion.choices
    assert choice.text == f"<|start|>user{READ}"
    assert choice.finish_reason == "stop"
    (request,) = backend.inserted
    assert request.prompt_ids == tuple(encoding.encode_text("<|start|>user"))
    assert START not in request.prompt_ids
    assert request.grammar is None
    assert {END_OF_TEXT} < request.stop_ids
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == len(request.prompt_ids)


def test_every_form_of_a_prompt(
    server: Server, backend: ScriptedBackend, encoding: Encoding
) -> None:
    word = encoding.encode_text("word")
    for prompt, wanted, echoed in [
        ("word", [word], ["word"]),
        ("", [[END_OF_TEXT]], [""]),
        ([START, *word, END], [[START, *word, END]], ["word"]),
        (["word", "a"], [word, encoding.encode_text("a")], ["word", "a"]),
        ([[START, *word], word], [[START, *word], word], ["word", "word"]),
    ]:
        backend.inserted.clear()
        completion = create(server, prompt=prompt, n=2, best_of=2, echo=True)
        asked = [list(request.prompt_ids) for request in backend.inserted]
        assert asked == [ids for ids in wanted for _ in range(2)]
        texts = [choice.text for choice in completion.choices]
        assert texts == [text + READ for text in echoed for _ in range(2)]
        assert [choice.index for choice in completion.choices] == [*range(len(texts))]
        assert completion.usage is not None
        assert completion.usage.prompt_tokens == sum(map(len, wanted))


def test_a_stream_says_the_same(server: Server) -> None:
    fields: Any = {"prompt": ["a", "b"], "echo": True, "stop": [" tim"]}
    whole = create(server, **fields)
    stream = server.client().completions.create(
        model="m", max_tokens=100, stream=True, stream_options={"include_usage": True}, **fields
    )
    chunks = list(stream)
    for index, choice in enumerate(whole.choices):
        mine = [c for chunk in chunks for c in chunk.choices if c.index == index]
        assert "".join(c.text for c in mine) == choice.text == f"{'ab'[index]}once upon a 🎉"
        assert [c.finish_reason for c in mine if c.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_sixteen_tokens_unless_told(serve: Serve, encoding: Encoding) -> None:
    backend = ScriptedBackend(lambda request: encoding.encode_text(" word") * 40)
    server = serve(backend)
    for fields, tokens in [({}, 16), ({"max_tokens": 3}, 3)]:
        wanted: Any = {"model": "m", "prompt": "a", **fields}
        (choice,) = server.client().completions.create(**wanted).choices
        assert choice.text == " word" * tokens
        assert choice.finish_reason == "length"


def test_log_probabilities(server: Server) -> None:
    (choice,) = create(server, logprobs=2).choices
    found = choice.logprobs
    assert found is not None
    assert found.tokens is not None
    assert found.text_offset is not None
    assert found.top_logprobs is not None
    assert found.token_logprobs == [-0.5] * len(found.tokens)
    assert [token for token in found.tokens if not token.startswith("bytes:")] == [
        "once",
        " ",
        "upon",
        " a",
        " time",
    ]
    for offset, following in itertools.pairwise(found.text_offset):
        assert offset <= following
    assert choice.text[found.text_offset[-1] :] == " time"
    (held,) = create(server, logprobs=2, stop=["e ux", "on time"]).choices
    assert held.logprobs == found  # although the ends of tokens waited for what follows
    for token, top in zip(found.tokens, found.top_logprobs, strict=True):
        assert top[token] == -0.5
        assert len(top) == 2
    (choice,) = create(server, logprobs=0).choices
    assert choice.logprobs is not None
    assert choice.logprobs.top_logprobs == [{token: -0.5} for token in choice.logprobs.tokens or ()]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": []}, "prompt"),
    ({"prompt": {}}, "prompt"),
    ({"prompt": [""] * 200}, "prompt"),
    ({"prompt": ["a", 1]}, "prompt[1]"),
    ({"prompt": [1, "a"]}, "prompt[1]"),
    ({"prompt": [1, True]}, "prompt[1]"),
    ({"prompt": [[]]}, "prompt[0]"),
    ({"prompt": [[VOCAB_SIZE]]}, "prompt[0][0]"),
    ({"prompt": [-1]}, "prompt[0]"),
    ({"prompt": "word " * 5000}, "prompt"),
    ({"prompt": ["a"] * 9}, "prompt"),
    ({"n": 9}, "n"),
    ({"n": 2, "best_of": 3}, "best_of"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"logprobs": 6}, "logprobs"),
    ({"top_logprobs": 1}, "top_logprobs"),
    ({"echo": True, "logprobs": 0}, "echo"),
    ({"suffix": "x"}, "suffix"),
    ({"stream_options": {}}, "stream_options"),
    ({"logit_bias": {"999999": 1}}, "logit_bias.999999"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_done_is_refused_by_its_name(
    server: Server, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        server.client().completions.create(
            model="m", prompt=fields.pop("prompt", "a"), extra_body=fields
        )
    assert refused.value.param == param


def test_a_failure_in_the_middle_is_an_event(
    encoding: Encoding, logged_errors: Any, server: Server, backend: ScriptedBackend
) -> None:
    backend.token_errors[(encoding.encode_text("Say")[0], 3)] = RuntimeError("broken")
    stream = server.client().completions.create(
        model="m", prompt="Say", max_tokens=100, stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)
    assert any("broken" in line or "failed" in line for line in logged_errors())


def test_a_random_model_is_repeatable(leaning: openai.OpenAI) -> None:
    def complete(**fields: Any) -> list[str]:
        wanted: Any = {"model": "m", "prompt": ["One", [5, 6]], "seed": 7, "max_tokens": 30}
        return [c.text for c in leaning.completions.create(**wanted | fields).choices]

    first = complete(n=2)
    assert first == complete(n=2)
    assert first[::2] == complete()
    assert len(set(first)) == 4
