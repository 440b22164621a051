"""MCP servers of the configuration in responses: lists, calls, and the client's word on them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from mlxoss.harmony.conversation import FunctionResult
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_results
from mlxoss.outcomes import McpTool
from tests.server.conftest import Serve
from tests.server.test_hosted import Served, kinds
from tests.support.server.rounds import add, sums, think
from tests.support.server.scripts import HELLO, final, to_ids
from tests.support.server.tools import ADD

ASKED: Any = [sums(require_approval="always")]
USER: Any = {"role": "user", "content": "Add 1 and 2."}


def word(request: Any, *, approve: bool = True, **more: Any) -> Any:
    return {
        "type": "mcp_approval_response",
        "approval_request_id": request.id,
        "approve": approve,
    } | more


def echoed(response: Any) -> list[Any]:
    return [item.model_dump(exclude_none=True) for item in response.output]


def test_a_server_is_listed_once_in_a_conversation(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, add(1, 2), final("3."), *[HELLO] * 4)
    first = served.ask([USER], tools=[sums()])
    assert kinds(first) == ["mcp_list_tools", "reasoning", "mcp_call", "message"]
    assert (first.output[2].name, first.output[2].output) == ("add", "3")
    assert first.output[2].error is None
    # What the server offers meanwhile does not change what the conversation began with.
    served.tools.mcp.tools = (McpTool("other", {"type": "object"}),)
    second = served.ask("Hi", tools=[sums()], previous_response_id=first.id)
    third = served.ask([USER, *echoed(first), USER], tools=[sums()], store=False)
    assert kinds(second) == kinds(third) == ["reasoning", "message"]
    assert len(served.tools.mcp.listed) == 1
    length = len(served.prompts[0]) - 2
    assert all(prompt[:length] == served.prompts[0][:length] for prompt in served.prompts[1:])
    fourth = served.ask("Hi", tools=[sums()])
    assert [tool.name for tool in fourth.output[0].tools] == ["other"]
    fifth = served.ask("Hi", tools=[sums()], tool_choice="none")
    assert kinds(fifth) == ["reasoning", "message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_is_listed_before_a_summary(
    serve: Serve, encoding: Encoding, *, stream: bool
) -> None:
    served = Served(serve, encoding, final("Words."), add(1, 2), final("3."))
    summing = [{"type": "compaction", "compact_threshold": 300}]
    fields: Any = {"tools": [sums()], "context_management": summing, "stream": stream}
    response = served.ask("word " * 300, **fields)
    if stream:
        *_, last = response
        response = last.response
    expected = ["mcp_list_tools", "compaction", "reasoning", "mcp_call", "message"]
    assert kinds(response) == expected


def test_a_server_that_cannot_be_listed_has_no_tools(
    serve: Serve, encoding: Encoding, logged_errors: Any
) -> None:
    served = Served(serve, encoding, HELLO, add(1, 2), final("3."))
    served.tools.mcp.list_errors.append(OSError("hunter2"))
    first = served.ask("Hi", tools=[sums()])
    assert first.status == "completed"
    assert first.output[0].error == "The server's tools could not be listed."
    assert logged_errors() == ["the tools of 'sums' could not be listed"]
    again = served.ask("Add.", tools=[sums()], previous_response_id=first.id)
    assert kinds(again) == ["mcp_list_tools", "reasoning", "mcp_call", "message"]


@pytest.mark.parametrize("way", ["previous", "items", "unstored", "conversation"])
def test_a_call_waits_for_the_client_and_is_run_first(
    serve: Serve, encoding: Encoding, way: str
) -> None:
    served = Served(serve, encoding, add(1, 2), final("It is 3."))
    stored: dict[str, Any] = {"store": way != "unstored"}
    if way == "conversation":
        stored["conversation"] = served.client.conversations.create().id
    first = served.ask([USER], tools=ASKED, **stored)
    assert kinds(first) == ["mcp_list_tools", "reasoning", "mcp_approval_request"]
    request = first.output[-1]
    assert (request.server_label, request.name) == ("sums", "add")
    assert served.tools.mcp.calls.made == []
    if way in ("previous", "conversation"):
        origin = stored if way == "conversation" else {"previous_response_id": first.id}
        second = served.ask([word(request)], tools=ASKED, **origin)
    else:
        given = [USER, *echoed(first), word(request)]
        second = served.ask(given, tools=ASKED, **stored)
    assert kinds(second) == ["mcp_call", "message"]
    call = second.output[0]
    assert (call.approval_request_id, call.output, call.status) == (request.id, "3", "completed")
    assert len(served.tools.mcp.calls.made) == 1
    told = render_results(encoding, [FunctionResult("sums__add", "3")])
    seen = (*served.prompts[0], *to_ids(encoding, add(1, 2)))
    assert served.prompts[1] == (*seen, *told)


def test_a_call_is_not_summed_up_before_it_is_run(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, add(1, 2), final("3."))
    first = served.ask("word " * 300, tools=ASKED)
    second = served.ask(
        [word(first.output[-1])],
        tools=ASKED,
        previous_response_id=first.id,
        context_management=[{"type": "compaction", "compact_threshold": 300}],
    )
    assert kinds(second) == ["mcp_call", "message"]
    result = render_results(encoding, [FunctionResult("sums__add", "3")])
    seen = (*served.prompts[0], *to_ids(encoding, add(1, 2)), *result)
    assert served.prompts[1] == seen


def test_what_was_allowed_and_run_is_not_run_again(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, add(1, 2), final("3."), HELLO, HELLO)
    first = served.ask([USER], tools=ASKED)
    second = served.ask([word(first.output[-1])], tools=ASKED, previous_response_id=first.id)
    third = served.ask("Thanks.", tools=ASKED, previous_response_id=second.id)
    assert kinds(third) == ["reasoning", "message"]
    given = [USER, *echoed(first), word(first.output[-1]), *echoed(second), USER]
    served.ask(given, tools=ASKED, store=False)
    assert len(served.tools.mcp.calls.made) == 1


def test_the_prompt_after_an_allowed_call_that_goes_on_is_exact(
    serve: Serve, encoding: Encoding
) -> None:
    served = Served(serve, encoding, add(1, 2), add(3, 4, "More."), final("7."))
    first = served.ask([USER], tools=ASKED)
    second = served.ask([word(first.output[-1])], tools=ASKED, previous_response_id=first.id)
    assert kinds(second) == ["mcp_call", "reasoning", "mcp_approval_request"]
    third = served.ask([word(second.output[-1])], tools=ASKED, previous_response_id=second.id)
    assert kinds(third) == ["mcp_call", "message"]
    told = render_results(encoding, [FunctionResult("sums__add", "7")])
    assert served.prompts[2] == (
        *served.prompts[1],
        *to_ids(encoding, add(3, 4, "More.")),
        *told,
    )


def test_what_the_client_denies_is_told_to_the_model(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, add(1, 2), final("I may not."))
    first = served.ask([USER], tools=ASKED)
    denied = word(first.output[-1], approve=False, reason="Not today.")
    second = served.ask([denied], tools=ASKED, previous_response_id=first.id)
    assert kinds(second) == ["message"]
    assert served.tools.mcp.calls.made == []
    told = encoding.decode(served.prompts[1][len(served.prompts[0]) :])
    assert "did not allow" in told
    assert "Not today." in told


def test_only_some_tools_ask(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, add(1, 2), final("3."))
    never = sums(require_approval={"never": {"tool_names": ["add"]}})
    response = served.ask([USER], tools=[never])
    assert kinds(response) == ["mcp_list_tools", "reasoning", "mcp_call", "message"]


def test_a_word_on_nothing_is_refused(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, HELLO)
    made_up = {"type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}
    with pytest.raises(openai.BadRequestError, match="approval_request_id"):
        served.ask([USER, made_up], tools=ASKED)
    assert served.server.services.engine.status().active == 0


@pytest.mark.parametrize("approve", ["false", "no", 1, 0, None, {"a": 1}])
def test_only_true_is_a_yes(serve: Serve, encoding: Encoding, approve: Any) -> None:
    served = Served(serve, encoding, add(1, 2))
    first = served.ask([USER], tools=ASKED)
    told = {**word(first.output[-1]), "approve": approve}
    with pytest.raises(openai.BadRequestError, match=r"input\[0\].approve"):
        served.ask([told], tools=ASKED, previous_response_id=first.id)
    assert served.tools.mcp.calls.made == []


def test_a_word_that_was_answered_long_ago_refuses_nothing(
    serve: Serve, encoding: Encoding
) -> None:
    served = Served(serve, encoding, HELLO)
    lost: Any = {"type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}
    answer: Any = {"role": "assistant", "content": "It is done."}
    with pytest.raises(openai.BadRequestError, match="no earlier approval request"):
        served.ask([USER, answer, USER, lost], tools=ASKED)
    assert served.ask([USER, lost, answer, USER], tools=ASKED).output_text
    assert served.tools.mcp.calls.made == []


@pytest.mark.parametrize("name", [[], {"a": 1}, None, 5])
def test_a_word_on_what_is_no_id_is_refused(serve: Serve, encoding: Encoding, name: Any) -> None:
    served = Served(serve, encoding, HELLO, HELLO)
    made_up = {"type": "mcp_approval_response", "approval_request_id": name, "approve": True}
    with pytest.raises(openai.BadRequestError, match=r"input\[1\].approval_request_id"):
        served.ask([USER, made_up], tools=ASKED)
    done: Any = {"type": "mcp_call", "server_label": "sums", "name": "add", "arguments": "{}"}
    assert served.ask([USER, {**done, "approval_request_id": name}], tools=ASKED).output


@pytest.mark.parametrize("odd", [[], {"a": 1}, ["failed"], 5, True])
def test_nonsense_in_calls_of_a_history_is_no_failure(
    serve: Serve, encoding: Encoding, odd: Any
) -> None:
    served = Served(serve, encoding, HELLO)
    done: list[Any] = [
        {"type": "mcp_call", "server_label": label, "name": odd, "arguments": odd, "status": odd}
        for label in ("sums", odd)
    ]
    done.append({"type": "web_search_call", "status": odd, "action": odd})
    done.append({"type": "code_interpreter_call", "status": odd, "container_id": odd, "code": odd})
    done.append({"type": "shell_call_output", "call_id": "c", "status": odd, "output": odd})
    done.append({"type": "mcp_list_tools", "server_label": odd, "tools": [odd, {"name": odd}]})
    assert served.ask([USER, *done, USER], tools=ASKED).status == "completed"


def test_events_of_an_allowed_call_come_first(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, add(1, 2), final("3."))
    first = served.ask([USER], tools=ASKED)
    events = list(
        served.ask(
            [word(first.output[-1])], tools=ASKED, previous_response_id=first.id, stream=True
        )
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type for event in events]
    assert names[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert names.index("response.mcp_call.completed") < names.index("response.output_text.delta")
    assert events[-1].response.output_text == "3."


def test_tools_of_others_are_named_for_their_servers(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, think("Hm.") + final("Done."))
    served.tools.mcp.tools = (ADD, McpTool("a b/c", {"type": "object"}))
    served.ask([USER], tools=[sums(allowed_tools=["a b/c"])])
    prompt = encoding.decode(served.prompts[0])
    assert "type sums__a_b_c" in prompt
    assert "sums__add" not in prompt
