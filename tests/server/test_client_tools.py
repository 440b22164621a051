"""Tools of OpenAI's that the client runs, over a real socket and with the official client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseItem

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.api.strict import check, check_response
from tests.support.clients.scripted import Steps, call
from tests.support.http import ask
from tests.support.server.contract import Contract
from tests.support.server.harness import Server, sse_payloads

SHELL: Any = {"type": "shell", "environment": {"type": "local"}}
LOCAL_SHELL: Any = {"type": "local_shell"}
PATCH: Any = {"type": "apply_patch"}
SEARCH: Any = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools of the project.",
    "parameters": {
        "type": "object",
        "properties": {"goal": {"type": "string"}},
        "required": ["goal"],
        "additionalProperties": False,
    },
}
DIFF = '@@ def main():\n-    print("a\\n")\n+    print("🎉")\n'
USER: Any = {"role": "user", "content": "Tidy up."}


def function(name: str, **more: Any) -> Any:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "function", "name": name, "parameters": schema, "strict": True} | more


SHELL_CALL = {"commands": ["ls -l", 'echo "ä"'], "timeout_ms": 900}
CALLS: dict[str, Any] = {
    "shell": SHELL_CALL,
    "local_shell": {
        "command": ["ls", "a b"],
        "workdir": "/tmp",
        "env": {"A": "1"},
        "timeout_ms": 9,
    },
    "apply_patch": {"type": "update_file", "path": "a.py", "diff": DIFF},
    "tool_search": {"goal": "an order"},
}
DECLARED = {"shell": SHELL, "local_shell": LOCAL_SHELL, "apply_patch": PATCH, "tool_search": SEARCH}
ITEMS: dict[str, Any] = {
    "shell": {
        "action": {"max_output_length": None, **SHELL_CALL},
        "environment": {"type": "local"},
    },
    "local_shell": {
        "action": {
            "type": "exec",
            "command": ["ls", "a b"],
            "working_directory": "/tmp",
            "env": {"A": "1"},
            "timeout_ms": 9,
        }
    },
    "apply_patch": {"operation": CALLS["apply_patch"]},
    "tool_search": {"execution": "client", "arguments": {"goal": "an order"}},
}


def exited(stdout: str, code: int = 0) -> Any:
    return {"stdout": stdout, "stderr": "", "outcome": {"type": "exit", "exit_code": code}}


ANSWERS: dict[str, Any] = {
    "shell": {"type": "shell_call_output", "output": [exited("one file\n"), exited("", 3)]},
    "local_shell": {"type": "local_shell_call_output", "output": "one file"},
    "apply_patch": {"type": "apply_patch_call_output", "status": "completed"},
    "tool_search": {
        "type": "tool_search_output",
        "execution": "client",
        "tools": [function("get_order", defer_loading=True)],
    },
}
TOLD = {
    "shell": "one file\nExit code: 3",
    "local_shell": "one file",
    "apply_patch": "Done.",
    "tool_search": "Found: get_order.",
}
KINDS = list(CALLS)


class Place:
    """A server whose model takes ``steps``, and what it was shown."""

    def __init__(self, serve: Serve, encoding: Encoding, *steps: str) -> None:
        self.model = Steps(encoding, steps)
        self.server: Server = serve(self.model.backend())

    @property
    def prompt(self) -> str:
        return self.model.texts[-1]

    def ask(self, status: int = 200, **fields: Any) -> Any:
        body = json.dumps({"model": "any"} | fields).encode()
        answer = ask(
            self.server, "POST", "/v1/responses", body, {"content-type": "application/json"}
        )
        assert answer.status == status, answer.body
        if status != 200:
            return answer.error
        if not fields.get("stream"):
            check_response(answer.json)
            return answer.json
        *events, _ = sse_payloads(answer.body)
        return [json.loads(event) for event in events]


def of_kind(event: Any, *kinds: str) -> bool:
    return any(event["type"] == f"response.{kind}" for kind in kinds)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_is_an_item_of_its_own(serve: Serve, encoding: Encoding, kind: str) -> None:
    place = Place(serve, encoding, call(kind, CALLS[kind]))
    whole = place.ask(input="Tidy up.", tools=[DECLARED[kind]])
    assert whole["tools"] == [DECLARED[kind]]
    reasoning, item = whole["output"]
    assert reasoning["type"] == "reasoning"
    assert item["type"] == f"{kind}_call"
    ends = {"status": "completed", "call_id": item["call_id"], "id": item["id"]}
    assert item == {"type": f"{kind}_call", **ends, **ITEMS[kind]}
    events = place.ask(input="Tidy up.", tools=[DECLARED[kind]], stream=True)
    (done,) = (e["item"] for e in events if of_kind(e, "output_item.done") and e["output_index"])
    assert done == item | {name: done[name] for name in ("id", "call_id")}
    assert events[-1]["response"]["output"][1] == done
    (added,) = (e["item"] for e in events if of_kind(e, "output_item.added") and e["output_index"])
    assert (added["id"], added["status"]) == (done["id"], "in_progress")
    with place.server.client().responses.stream(
        model="x", input="Tidy up.", tools=[DECLARED[kind]]
    ) as typed:
        assert typed.get_final_response().output[1].type == f"{kind}_call"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["items", "sealed", "previous", "conversation", "references"])
def test_a_loop_goes_on_to_the_token(serve: Serve, encoding: Encoding, kind: str, how: str) -> None:
    place = Place(serve, encoding, call(kind, CALLS[kind]), call(kind, CALLS[kind]))
    client = place.server.client()
    fields: dict[str, Any] = {"tools": [DECLARED[kind]], "input": [USER]}
    if how == "sealed":
        fields |= {"store": False, "include": ["reasoning.encrypted_content"]}
    if how == "conversation":
        fields["conversation"] = client.conversations.create().id
    for _ in range(2):
        response = place.ask(**fields)
        call_id = response["output"][-1]["call_id"]
        answer = {**ANSWERS[kind], "call_id": call_id}
        if how == "previous":
            fields["previous_response_id"] = response["id"]
        outputs = {"items": response["output"], "sealed": response["output"]}
        if how == "references":
            outputs[how] = [{"type": "item_reference", "id": i["id"]} for i in response["output"]]
        before = fields["input"] if how in outputs else []
        fields["input"] = [*before, *outputs.get(how, []), answer]
    last = place.ask(**fields)
    assert check_response(last).output_text == "Made it."
    assert place.model.are_spliced
    name = f"<|start|>functions.{kind} to=assistant<|channel|>commentary"
    assert place.prompt.count(f"{name}<|message|>{TOLD[kind]}<|end|>") == 2
    for each in client.responses.input_items.list(last["id"]) if how != "sealed" else ():
        if each.type != "local_shell_call_output":
            check(ResponseItem, each.to_dict())


def test_commands_grow_one_after_the_other(serve: Serve, encoding: Encoding) -> None:
    commands = ["", "ls", 'printf "a\\n🎉"']
    place = Place(serve, encoding, call("shell", {"commands": commands}))
    events = place.ask(input="x", tools=[SHELL], stream=True)
    told = [e for e in events if e["type"].startswith("response.shell_call_command.")]
    assert all("item_id" not in event and event["output_index"] == 1 for event in told)
    grown: list[str] = []
    for event in told:
        index, kind = event["command_index"], event["type"].rpartition(".")[2]
        if kind == "added":
            assert (index, event["command"]) == (len(grown), "")
            grown.append("")
        elif kind == "delta":
            assert index == len(grown) - 1
            grown[index] += event["delta"]
        else:
            assert event["command"] == grown[index]
    assert grown == commands
    assert [e["command_index"] for e in told if of_kind(e, "shell_call_command.done")] == [0, 1, 2]
    assert sum(of_kind(e, "shell_call_command.delta") for e in told) > 2


@pytest.mark.parametrize("kind", ["create_file", "update_file", "delete_file"])
def test_a_patch_grows(serve: Serve, encoding: Encoding, kind: str) -> None:
    operation = {"type": kind, "path": "a b.py"}
    if kind != "delete_file":
        operation["diff"] = DIFF * 3
    place = Place(serve, encoding, call("apply_patch", operation))
    events = place.ask(input="x", tools=[PATCH], stream=True)
    added, *grown, done = (e for e in events if e.get("output_index") == 1)
    assert added["type"] == "response.output_item.added"
    empty = {"diff": ""} if "diff" in operation else {}
    assert added["item"]["operation"] == operation | empty
    assert done["item"]["operation"] == operation
    if kind == "delete_file":
        assert grown == []
        return
    *deltas, last = grown
    assert {e["type"] for e in deltas} == {"response.apply_patch_call_operation_diff.delta"}
    assert len(deltas) > 3
    assert "".join(e["delta"] for e in deltas) == last["diff"] == operation["diff"]
    assert last["type"] == "response.apply_patch_call_operation_diff.done"
    assert {e["item_id"] for e in grown} == {done["item"]["id"]}


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_call_that_is_cut_only_what_is_whole_is_given(
    serve: Serve, encoding: Encoding, kind: str
) -> None:
    """A client that runs what it finds would run half a command."""
    place = Place(serve, encoding, call(kind, CALLS[kind]))
    length = place.ask(input="x", tools=[DECLARED[kind]])["usage"]["output_tokens"]
    written = encoding.encode_text(json.dumps(CALLS[kind]))
    for limit in range(length - len(written) - 1, length - 1):
        cut = place.ask(input="x", tools=[DECLARED[kind]], max_output_tokens=limit)
        streamed = place.ask(
            input="x", tools=[DECLARED[kind]], max_output_tokens=limit, stream=True
        )
        assert cut["status"] == "incomplete"
        item = cut["output"][-1]
        if item["type"] == "reasoning":
            continue
        assert item["status"] == ("in_progress" if kind == "apply_patch" else "incomplete")
        again = streamed[-1]["response"]["output"][-1]
        assert again == item | {name: again[name] for name in ("id", "call_id")}
        given = item.get("action") or item.get("operation") or item["arguments"]
        for name in ("commands", "command"):
            assert set(given.get(name) or ()) <= set(CALLS[kind].get(name) or ())
        for name in ("path", "diff", "goal"):
            assert given.get(name) in (None, "", CALLS[kind].get(name))
        # It can be put back in, and the conversation goes on.
        assert place.ask(input=[USER, *cut["output"], USER])["status"] == "completed"


def test_what_a_client_found_is_called_from_there_on(serve: Serve, encoding: Encoding) -> None:
    order = function("get_order", description="One order.", defer_loading=True)
    group = {"type": "namespace", "name": "crm", "tools": [function("find", defer_loading=True)]}
    tools = [SEARCH, function("now"), order, group]
    steps = call("tool_search", CALLS["tool_search"]), call("get_order", {})
    place = Place(serve, encoding, *steps)
    first = place.ask(input=[USER], tools=tools)
    assert "type tool_search = (_: {\ngoal: string,\n}) => any;" in place.prompt
    assert "type now" in place.prompt
    assert "get_order" not in place.prompt
    assert "crm__find" not in place.prompt
    assert first["tools"] == [SEARCH, function("now", description=None), order, first["tools"][3]]
    assert first["tools"][3]["tools"][0]["defer_loading"] is True
    search = first["output"][-1]
    found = {
        "type": "tool_search_output",
        "execution": "client",
        "call_id": search["call_id"],
        "status": "completed",
        "tools": [order],
    }
    second = place.ask(input=[found], tools=tools, previous_response_id=first["id"])
    answered, _, brought = place.prompt.partition("<|message|>Found: get_order.<|end|>")
    assert answered.endswith("<|start|>functions.tool_search to=assistant<|channel|>commentary")
    assert brought.startswith("<|start|>developer<|message|># Tools\n\n## functions")
    assert "// One order.\ntype get_order = () => any;" in brought
    assert "crm__find" not in place.prompt
    assert second["output"][-1]["name"] == "get_order"
    done = {
        "type": "function_call_output",
        "call_id": second["output"][-1]["call_id"],
        "output": "x",
    }
    # A request that declares nothing any more still knows what the search brought.
    place.ask(input=[done], previous_response_id=second["id"])
    assert brought.partition("<|end|>")[0] in place.prompt
    place.ask(input=[done], tools=tools, previous_response_id=second["id"])
    assert place.model.texts[1] in place.prompt


def test_without_a_search_of_the_client_s_nothing_is_held_back(
    serve: Serve, encoding: Encoding
) -> None:
    place = Place(serve, encoding)
    for search in ([], [{"type": "tool_search"}], [{"type": "tool_search", "execution": "server"}]):
        created = place.ask(input="x", tools=[*search, function("late", defer_loading=True)])
        assert "type late = () => any;" in place.prompt
        assert "tool_search" not in place.prompt
        assert [tool["type"] for tool in created["tools"]] == ["function"]


def test_tools_that_are_held_back_cannot_be_forced(serve: Serve, encoding: Encoding) -> None:
    place = Place(serve, encoding)
    tools = [SEARCH, function("late", defer_loading=True)]
    choice: Any = {"type": "function", "name": "late"}
    error = place.ask(400, input="x", tools=tools, tool_choice=choice)
    assert error["param"] == "tool_choice"
    assert "held back" in error["message"]
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [choice, {"type": "tool_search"}]}
    place.ask(input="x", tools=tools, tool_choice=allowed)


def test_what_a_search_found_outlives_a_compaction(serve: Serve, encoding: Encoding) -> None:
    place = Place(serve, encoding)
    search = {"type": "tool_search_call", "call_id": "s1", "arguments": {"goal": "x"}}
    found = {"type": "tool_search_output", "call_id": "s1", "tools": [function("late")]}
    body = json.dumps({"model": "m", "input": [USER, search, found, USER]}).encode()
    headers = {"content-type": "application/json"}
    compacted = ask(place.server, "POST", "/v1/responses/compact", body, headers).json
    tools = [SEARCH, function("late", defer_loading=True)]
    place.ask(input=[*compacted["output"], USER], tools=tools)
    assert "type late = () => any;" in place.prompt


def test_a_function_of_the_client_s_keeps_its_name(serve: Serve, encoding: Encoding) -> None:
    calls = call("builtin_shell", {"commands": ["ls"]}), call("shell", {"x": 1})
    place = Place(serve, encoding, *calls)
    own = {"type": "function", "name": "shell"}
    for tools in ([own, SHELL], [SHELL, own]):
        created = place.ask(input="x", tools=tools)
        assert created["output"][-1]["type"] == "shell_call"
        assert "type shell = () => any;" in place.prompt
        assert "type builtin_shell = (_: {" in place.prompt
    answer = {**ANSWERS["shell"], "call_id": created["output"][-1]["call_id"]}
    second = place.ask(input=[answer], tools=tools, previous_response_id=created["id"])
    assert second["output"][-1]["type"] == "function_call"
    assert place.model.texts[-1].startswith(place.model.texts[-2])
    added = {"type": "additional_tools", "tools": [own]}
    place.ask(input=[USER, added], tools=[SHELL])
    assert "type builtin_shell = (_: {" in place.prompt
    error = place.ask(400, input="x", tools=[SHELL, SHELL])
    assert error["param"] == "tools[1].type"
    choice = {"type": "function", "name": "shell"}
    assert place.ask(400, input="x", tools=[SHELL], tool_choice=choice)["param"] == "tool_choice"


ELSEWHERE: Any = [
    {"type": "shell", "environment": {"type": "container_auto"}},
    {"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}},
    {"type": "shell", "allowed_callers": ["programmatic"]},
    {"type": "apply_patch", "allowed_callers": ["programmatic"]},
]


def test_what_only_openai_runs_is_left_out(serve: Serve, encoding: Encoding) -> None:
    place = Place(serve, encoding)
    for tool in ELSEWHERE:
        created = place.ask(input="x", tools=[tool, function("f")])
        assert [one["type"] for one in created["tools"]] == ["function"]
        error = place.ask(400, input="x", tools=[tool], tool_choice={"type": tool["type"]})
        assert error["param"] == "tool_choice"
        assert f"no tool '{tool['type']}'" in error["message"]


def test_skills_are_told(serve: Serve, encoding: Encoding) -> None:
    place = Place(serve, encoding)
    skill = {"name": "pdf", "description": "Reads PDF.", "path": "/skills/pdf"}
    place.ask(
        input="x",
        tools=[{"type": "shell", "environment": {"type": "local", "skills": [skill]}}],
    )
    assert "// - pdf (/skills/pdf): Reads PDF." in place.prompt
    wrong = {"type": "shell", "environment": {"type": "local", "skills": [{"name": "pdf"}]}}
    error = place.ask(400, input="x", tools=[wrong])
    assert error["param"] == "tools[0].environment.skills[0].description"


@pytest.mark.parametrize("number", [1, 2, None])
def test_calls_beyond_max_tool_calls_are_ignored(
    serve: Serve, encoding: Encoding, number: int | None
) -> None:
    shell, weather = call("shell", SHELL_CALL), call("now", {})
    more = weather.replace("<|call|>", "<|end|>") + shell.replace("<|call|>", "<|end|>") + shell
    place = Place(serve, encoding, shell.replace("<|call|>", "<|end|>") + more)
    tools = [SHELL, function("now")]
    for streamed in (False, True):
        answer = place.ask(input="x", tools=tools, max_tool_calls=number, stream=streamed)
        response = answer[-1]["response"] if streamed else answer
        kinds = [item["type"] for item in response["output"]]
        assert kinds.count("shell_call") == (number or 3)
        assert kinds.count("function_call") == 1
        assert response["status"] == "completed"
    answers: list[Any] = []
    for item in response["output"]:
        if item["type"] == "shell_call":
            answers.append({**ANSWERS["shell"], "call_id": item["call_id"]})
        elif item["type"] == "function_call":
            done = {"type": "function_call_output", "call_id": item["call_id"], "output": "x"}
            answers.append(done)
    place.ask(input=answers, tools=tools, previous_response_id=response["id"])
    assert place.prompt.count("to=functions.shell") == (number or 3)


def test_outputs_as_sdks_send_them(serve: Serve, encoding: Encoding) -> None:
    """With keys of their own, by the call's or the item's id, and as Codex once did."""
    place = Place(serve, encoding)
    shell = {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}}
    output = {
        "type": "shell_call_output",
        "call_id": "c1",
        "output": [exited("one")],
        "status": "failed",
        "max_output_length": 100,
        "shell_output": [{"stdout": "one", "status": "completed", "provider_data": {"a": 1}}],
        "provider_data": {"a": 1},
    }
    place.ask(input=[USER, shell, output])
    assert (
        "<|start|>functions.shell to=assistant<|channel|>commentary<|message|>one" in place.prompt
    )
    local = {"type": "local_shell_call", "id": "lsh_1", "call_id": "c1"}
    local["action"] = {"type": "exec", "command": ["ls"], "env": {}}  # type: ignore[assignment]
    for ids in ({"id": "lsh_1"}, {"id": "c1"}, {"call_id": "c1"}, {"id": "x", "call_id": "c1"}):
        place.ask(input=[USER, local, {"type": "local_shell_call_output", "output": "one", **ids}])
        assert 'to=functions.local_shell<|channel|>commentary <|constrain|>json<|message|>{"c' in (
            place.prompt
        )
        assert "<|start|>functions.local_shell to=assistant" in place.prompt


def test_a_history_is_never_refused(serve: Serve, encoding: Encoding) -> None:
    """However it was cut, and whether its tools are declared or not."""
    place = Place(serve, encoding)
    calls = [{"type": f"{kind}_call", "call_id": "c1", **ITEMS[kind]} for kind in KINDS]
    answers = [{**ANSWERS[kind], "call_id": "c1"} for kind in KINDS]
    for items in (calls, answers, [*answers, *calls], [*calls, *calls, *answers], calls + answers):
        for tools in ([], [SHELL, LOCAL_SHELL, PATCH, SEARCH]):
            place.ask(input=[USER, *items, USER], tools=tools)
            place.ask(input=[*items, USER], tools=tools)
    place.ask(input=[USER, *calls, *answers])
    for kind in KINDS:
        assert f"<|start|>functions.{kind} to=assistant" in place.prompt


def test_openapi_describes_them(serve: Serve, encoding: Encoding) -> None:
    place = Place(serve, encoding, call("shell", SHELL_CALL))
    contract = Contract(place.server)
    tools = list(DECLARED.values())
    assert contract.ask("POST", "/v1/responses", model="m", input="x", tools=tools).status == 200
    contract.ask("POST", "/v1/responses", model="m", input="x", tools=tools, stream=True)
    schema = contract.document["paths"]["/v1/responses"]["post"]["requestBody"]["content"]
    body = {"model": "m", "input": "x", "tools": tools}
    contract.check_value(schema["application/json"]["schema"], body)


def forced(client: openai.OpenAI, tools: Sequence[Any], choice: Any) -> list[Any]:
    """Whole calls that a random model makes under the grammar, as items."""
    items: list[Any] = []
    for seed in range(3):
        response = client.responses.create(
            model="m",
            input="x",
            tools=list(tools),
            tool_choice=choice,
            max_output_tokens=400,
            extra_body={"seed": seed},
        )
        output: list[Any] = list(response.output)
        items += [i for i in output if i.type.endswith("_call") and i.status == "completed"]
    assert items
    return items


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["type", "allowed", "required"])
def test_the_grammar_holds_arguments_and_choices(
    leaning: openai.OpenAI, kind: str, form: str
) -> None:
    tools = [DECLARED[kind]] if form == "required" else [*DECLARED.values(), function("f")]
    forms: dict[str, Any] = {
        "type": {"type": kind},
        "allowed": {"type": "allowed_tools", "mode": "required", "tools": [{"type": kind}]},
        "required": "required",
    }
    for item in forced(leaning, tools, forms[form]):
        assert item.type == f"{kind}_call"
        if kind == "shell":
            assert item.action.commands
        elif kind == "local_shell":
            assert item.action.command
        elif kind == "tool_search":
            assert list(item.arguments) == ["goal"]
        else:
            has_diff = item.operation.type != "delete_file"
            assert has_diff == ("diff" in item.operation.to_dict())
