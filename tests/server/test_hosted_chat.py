"""Chat completions whose answers use tools of this server."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from mlxoss.harmony.conversation import FunctionResult
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_results
from tests.server.conftest import Serve
from tests.server.test_hosted import Served
from tests.support.server.rounds import WEATHER, browse, python, weather
from tests.support.server.scripts import HELLO, final, to_ids

USER: Any = {"role": "user", "content": "How warm is it?"}
FUNCTION: Any = {
    "type": "function",
    "function": {key: value for key, value in WEATHER.items() if key != "type"},
}
BUILTIN: Any = {"chat_template_kwargs": {"builtin_tools": ["python", "browser"]}}


def chat(served: Served, messages: Any = (USER,), **fields: Any) -> Any:
    fields = {"extra_body": BUILTIN} | fields
    return served.client.chat.completions.create(model="any", messages=list(messages), **fields)


def test_a_search_is_cited(serve: Serve, encoding: Encoding) -> None:
    texts = [browse("search", query="a"), browse("open", id=0), final("See 【1†L0】.")]
    served = Served(serve, encoding, *texts, *texts)
    completion = chat(served, web_search_options={}, extra_body=None)
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "stop"
    assert message.tool_calls is None
    (annotation,) = message.annotations
    cited = annotation.url_citation
    assert cited.url == "https://example.org/1"
    assert "https://example.org/1" in message.content[cited.start_index : cited.end_index]
    assert completion.usage.prompt_tokens == sum(map(len, served.prompts))
    chunks = list(chat(served, web_search_options={}, extra_body=None, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == message.content
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [reason for reason in reasons if reason] == ["stop"]


def test_code_is_run(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, python("6 * 7"), final("42."))
    message = chat(served).choices[0].message
    assert message.content == "42."
    assert message.reasoning == "I compute."
    assert [code for _, code in served.tools.python.calls.made] == ["6 * 7"]


def test_a_loop_that_waits_for_the_client_comes_back_to_the_token(
    serve: Serve, encoding: Encoding
) -> None:
    first = [python("x = 1"), browse("search", query="Oslo  weather", topn=3), weather()]
    texts = [*first, weather("And once more."), python("x"), final("Warm.")]
    served = Served(serve, encoding, *texts)
    messages = [USER]
    for _ in range(2):
        message = chat(served, messages, tools=[FUNCTION]).choices[0].message
        (call,) = message.tool_calls
        answer = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        messages += [message.to_dict(), answer]
    completion = chat(served, messages, tools=[FUNCTION])
    assert completion.choices[0].message.content == "Warm."
    told = render_results(encoding, [FunctionResult("get_weather", "sunny")])
    for text, prompt, following in zip(texts, served.prompts, served.prompts[1:], strict=False):
        seen = (*prompt, *to_ids(encoding, text))
        assert following[: len(seen)] == seen
    assert served.prompts[3] == (*served.prompts[2], *to_ids(encoding, texts[2]), *told)
    (first_container, _), (second_container, _) = served.tools.python.calls.made
    assert first_container == second_container
    sessions = served.tools.browser.asked
    assert [asked[0] for asked in sessions] == [sessions[0][0]] * 3
    assert [asked[1] for asked in sessions] == [0, 1, 1]


def test_without_the_tools_the_fields_are_refused(serve: Serve, encoding: Encoding) -> None:
    client = serve(HELLO).client()
    asked: list[Any] = [{"web_search_options": {}}, {"extra_body": BUILTIN}]
    for fields in asked:
        with pytest.raises(openai.BadRequestError, match="mlxoss tools enable"):
            client.chat.completions.create(model="any", messages=[USER], **fields)


def test_with_the_choice_none_nothing_is_shown(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, HELLO)
    completion = chat(served, tools=[FUNCTION], tool_choice="none")
    assert completion.choices[0].message.content.startswith("Hello")
    assert "# Tools" not in encoding.decode(served.prompts[0])
