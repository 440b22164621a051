"""Items that other servers and newer clients leave in a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.http import ask
from tests.support.server.begun_elsewhere import ANSWER, USER, Place, foreign_contents, say
from tests.support.server.contract import Contract

SEALED = "gAAAAABotAXNYQ3" * 10
TASK = "Reply with the words delivery succeeded."


@pytest.fixture
def place(serve: Serve, encoding: Encoding) -> Place:
    return Place(serve, encoding)


def agent(*parts: Any) -> Any:
    return {"type": "agent_message", "author": "/lead", "recipient": "/lead/a", "content": parts}


HEAD = {"type": "input_text", "text": "Message Type: NEW_TASK\nPayload:"}


def test_a_sub_agent_gets_its_task(place: Place) -> None:
    task = {"type": "encrypted_content", "encrypted_content": TASK}
    prompt = place.respond(USER, agent(HEAD, task))
    said = f"<|start|>user<|message|>Message Type: NEW_TASK\nPayload:\n{TASK}<|end|>"
    assert said in prompt
    assert said in place.respond(
        USER, agent({"type": "input_text", "text": f"{HEAD['text']}\n{TASK}"})
    )
    assert foreign_contents(place.server) == 0


def test_a_task_that_another_server_sealed(place: Place) -> None:
    task = {"type": "encrypted_content", "encrypted_content": SEALED}
    assert "Payload:\n[left out: another server sealed it]" in place.respond(
        USER, agent(HEAD, task)
    )
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": [HEAD, task]}
    assert "[left out: another server sealed it]" in place.respond(USER, call, output)
    plain = output | {"output": [{**task, "encrypted_content": TASK}]}
    assert TASK in place.respond(USER, call, plain)
    assert foreign_contents(place.server) > 0


def test_a_part_of_an_unknown_type_is_refused(place: Place) -> None:
    error = place.post("/v1/responses", 400, input=[agent(HEAD, {"type": "hologram"})])["error"]
    assert error["param"] == "input[0].content[1]"
    error = place.post("/v1/responses", 400, input=[USER, {"type": "hologram_call"}])["error"]
    assert error["param"] == "input[1].type"
    assert "hologram_call" in error["message"]


TOLD: dict[str, tuple[list[Any], list[str]]] = {
    "a search": (
        [
            {
                "type": "web_search_call",
                "status": "completed",
                "action": {
                    "type": "search",
                    "query": "weather oslo",
                    "queries": ["weather oslo", "rain"],
                    "sources": [{"type": "url", "url": "http://localhost/a"}],
                },
            }
        ],
        ["Searched the web for: weather oslo; rain.", "Sources: http://localhost/a"],
    ),
    "a page": (
        [{"type": "web_search_call", "action": {"type": "open_page", "url": "http://localhost/"}}],
        ["Opened the web page http://localhost/."],
    ),
    "a find": (
        [
            {
                "type": "web_search_call",
                "status": "failed",
                "action": {"type": "find_in_page", "pattern": "rain", "url": "http://localhost/"},
            }
        ],
        ["Looked for 'rain' on the web page http://localhost/.\nIt failed."],
    ),
    "files": (
        [
            {
                "type": "file_search_call",
                "queries": ["rain"],
                "results": [{"filename": "a.txt", "text": "It rains.", "score": 0.5}],
            }
        ],
        ["Searched files for: rain.\na.txt: It rains."],
    ),
    "the local shell": (
        [
            {
                "type": "local_shell_call",
                "id": "ls_1",
                "call_id": "c1",
                "action": {"type": "exec", "command": ["ls", "a b"], "working_directory": "/tmp"},
            },
            {"type": "local_shell_call_output", "id": "ls_1", "output": "one file"},
        ],
        ['<|message|>{"command": ["ls", "a b"], "workdir": "/tmp"}<|call|>', "one file"],
    ),
    "the local shell as Codex has it": (
        [
            {
                "type": "local_shell_call",
                "call_id": "c1",
                "action": {"type": "exec", "command": ["ls"]},
            },
            {"type": "function_call_output", "call_id": "c1", "output": "one file"},
        ],
        ['{"command": ["ls"]}<|call|>', "functions.local_shell to=assistant", "one file"],
    ),
    "a shell": (
        [
            {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls", "pwd"]}},
            {
                "type": "shell_call_output",
                "call_id": "c1",
                "output": [
                    {"stdout": "one", "stderr": "", "outcome": {"type": "exit", "exit_code": 2}},
                    {"stdout": "two", "stderr": "oh", "outcome": {"type": "timeout"}},
                ],
            },
        ],
        [
            '<|message|>{"commands": ["ls", "pwd"]}<|call|>',
            "one\nExit code: 2\ntwo\noh\nIt took too long.",
        ],
    ),
    "a patch": (
        [
            {
                "type": "apply_patch_call",
                "call_id": "c1",
                "operation": {"type": "update_file", "path": "a.py", "diff": "+1"},
            },
            {"type": "apply_patch_call_output", "call_id": "c1", "output": "Done."},
        ],
        ['{"type": "update_file", "path": "a.py", "diff": "+1"}<|call|>', "Done."],
    ),
    "an MCP server": (
        [
            {
                "type": "mcp_call",
                "name": "find",
                "server_label": "docs",
                "arguments": '{"q": 1}',
                "output": "a page",
            }
        ],
        ['Called the tool find of the MCP server docs with: {"q": 1}\na page'],
    ),
    "an MCP server that failed": (
        [{"type": "mcp_call", "name": "find", "server_label": "docs", "error": "no such page"}],
        ["It failed: no such page"],
    ),
    "code": (
        [
            {
                "type": "code_interpreter_call",
                "code": "print(5)",
                "outputs": [{"type": "logs", "logs": "5"}, {"type": "image", "url": "a.png"}],
            }
        ],
        ["Ran this code:\nprint(5)\n5\n[image left out: this model reads text; a.png]"],
    ),
    "an image": (
        [
            {
                "type": "image_generation_call",
                "status": "completed",
                "result": "AAAA" * 1000,
                "revised_prompt": "a cat",
            }
        ],
        ["Made an image of: a cat\n[image left out"],
    ),
    "a computer": (
        [
            {"type": "computer_call", "call_id": "c1", "action": {"type": "click", "x": 5}},
            {
                "type": "computer_call_output",
                "call_id": "c1",
                "output": {
                    "type": "computer_screenshot",
                    "image_url": "data:image/png;base64,AAAA",
                },
            },
        ],
        ['Used the computer: {"type": "click", "x": 5}', "text; image/png, 3 bytes]"],
    ),
    "a program": (
        [
            {"type": "program", "code": "1 + 2"},
            {"type": "program_output", "result": "3", "status": "completed"},
        ],
        ["Ran this program:\n1 + 2", "<|message|>3<|end|>"],
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_was_done_elsewhere_is_told(place: Place, case: str) -> None:
    items, told = TOLD[case]
    for rest in ((), (ANSWER, USER)):
        prompt = place.respond(USER, *items, *rest)
        for text in told:
            assert text in prompt
    assert "AAAA" not in prompt


BOOKKEEPING: list[Any] = [
    {"type": "compaction_trigger"},
    {"type": "context_compaction"},
    {"type": "mcp_list_tools", "server_label": "docs", "tools": [{"name": "find"}]},
    {"type": "mcp_approval_request", "name": "find", "arguments": "{}", "server_label": "docs"},
    {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {"q": "x"}},
    {"type": "tool_search_output", "call_id": None, "status": "completed", "tools": []},
    {"type": "additional_tools", "role": "developer", "tools": []},
    {"type": "ghost_snapshot", "ghost_commit": {"id": "a"}},
]


def test_bookkeeping_is_left_out(place: Place) -> None:
    developer = {"role": "developer", "content": "Be brief."}
    plain = place.respond(developer, USER)
    for item in BOOKKEEPING:
        assert place.respond(item, developer, USER) == plain
        assert place.respond(developer, USER, item) == plain


TOOL: Any = {
    "type": "function",
    "name": "lookup",
    "description": "Looks it up.",
    "parameters": None,
}


def test_tools_that_are_added_can_be_called(place: Place) -> None:
    """Codex declares all of its tools so for some models; a search of tools brings others."""
    declared = place.respond(USER, tools=[TOOL])
    for kind in ("additional_tools", "tool_search_output"):
        item = {"type": kind, "tools": [TOOL, {"type": "web_search"}]}
        assert place.post("/v1/responses", input=[item, USER])["status"] == "completed"
        assert place.prompt == declared
        place.post("/v1/responses", input=[item, USER], tools=[TOOL])
        assert place.prompt == declared
        choice = {"type": "function", "name": "lookup"}
        place.post("/v1/responses/input_tokens", input=[item, USER], tool_choice=choice)
    grouped = {"type": "namespace", "name": "crm", "tools": [TOOL]}
    first = place.post("/v1/responses", input=[{"type": "additional_tools", "tools": [grouped]}])
    place.post("/v1/responses", input=[USER], previous_response_id=first["id"])
    assert "type crm__lookup = () => any;" in place.prompt


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
def test_tools_that_are_added_later_leave_what_was_before(place: Place, kind: str) -> None:
    first = place.post("/v1/responses", input=[USER], tools=[TOOL])
    before = place.prompt
    late = TOOL | {"name": "late"}
    item = {"type": kind, "tools": [late, TOOL]}
    place.post("/v1/responses", input=[item, USER], tools=[TOOL], previous_response_id=first["id"])
    assert place.prompt.startswith(before)
    brought = place.prompt[len(before) :]
    assert brought.count("<|start|>developer<|message|># Tools\n\n## functions") == 1
    assert brought.index("type late = () => any;") < brought.index("<|start|>user<|message|>Hello!")
    assert "type lookup" not in brought
    calls = place.post("/v1/responses", input=[USER, item], tool_choice="none")
    assert calls["status"] == "completed"
    assert "namespace functions" not in place.prompt


def test_added_tools_are_checked(place: Place) -> None:
    for tools, param in (
        (5, "input[1].tools"),
        ([5], "input[1].tools[0]"),
        ([{"type": "function", "name": "a b"}], "input[1].tools[0].name"),
    ):
        item = {"type": "additional_tools", "tools": tools}
        error = place.post("/v1/responses", 400, input=[USER, item])["error"]
        assert error["param"] == param


def test_nonsense_in_records_is_no_failure(place: Place) -> None:
    kinds = {item["type"] for items, _ in TOLD.values() for item in items} - {
        "function_call_output"
    }
    names = ("action", "output", "outputs", "results", "queries", "operation", "code", "error")
    for value in (None, 5, "x", [5, None], {"type": [1], "commands": {}, "sources": [3]}):
        items = [{"type": kind} | dict.fromkeys(names, value) for kind in kinds]
        place.post("/v1/responses", input=[USER, *items], store=False)


def test_items_are_listed_as_they_came(place: Place) -> None:
    contract = Contract(place.server)
    items = [*TOLD["a search"][0], *TOLD["the local shell"][0], agent(HEAD), *BOOKKEEPING]
    response = contract.ask("POST", "/v1/responses", model="m", input=[USER, *items]).json
    path = f"/v1/responses/{response['id']}/input_items?limit=100&order=asc"
    listed = contract.ask("GET", path).json["data"]
    assert [one["type"] for one in listed[1:]] == [one["type"] for one in items]
    assert listed[1]["action"] == items[0]["action"]
    place.post("/v1/responses", input="More", previous_response_id=response["id"])
    assert "Searched the web for: weather oslo" in place.prompt
    reference = {"type": "item_reference", "id": listed[1]["id"]}
    place.post("/v1/responses", input=[USER, reference])
    assert "Searched the web for: weather oslo" in place.prompt
    schema = contract.document["paths"]["/v1/responses"]["post"]["requestBody"]["content"]
    for item in items:
        body = json.loads(json.dumps({"model": "m", "input": [item]}))
        contract.check_value(schema["application/json"]["schema"], body)
    contract.ask("POST", "/v1/conversations", items=items)


BLOCKS: dict[str, tuple[list[Any], list[str]]] = {
    "a search": (
        [
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "a"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s1",
                "content": [
                    {
                        "type": "web_search_result",
                        "title": "Rain",
                        "url": "http://localhost/",
                        "encrypted_content": "AAAA",
                    }
                ],
            },
        ],
        ['Called the tool web_search with: {"query": "a"}', "Rain\nhttp://localhost/<|end|>"],
    ),
    "a search that failed": (
        [
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s1",
                "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
            }
        ],
        ["<|message|>unavailable<|end|>"],
    ),
    "a page": (
        [
            {
                "type": "web_fetch_tool_result",
                "content": {
                    "type": "web_fetch_result",
                    "url": "http://localhost/",
                    "content": {
                        "type": "document",
                        "title": "Rain",
                        "source": {"type": "text", "media_type": "text/plain", "data": "It rains."},
                    },
                },
            }
        ],
        ["http://localhost/\nRain\nIt rains."],
    ),
    "code": (
        [
            {
                "type": "bash_code_execution_tool_result",
                "content": {"type": "x", "stdout": "5", "stderr": "oh", "return_code": 1},
            }
        ],
        ["5\noh"],
    ),
    "an MCP server": (
        [
            {
                "type": "mcp_tool_use",
                "id": "m1",
                "name": "find",
                "server_name": "docs",
                "input": {},
            },
            {
                "type": "mcp_tool_result",
                "tool_use_id": "m1",
                "is_error": True,
                "content": [{"type": "text", "text": "no such page"}],
            },
        ],
        ["Called the tool find of the MCP server docs with: {}", "It failed:\nno such page"],
    ),
    "a compaction": (
        [{"type": "compaction", "content": "We spoke of rain."}],
        ["Summary of the conversation so far:\n\nWe spoke of rain."],
    ),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_what_anthropic_s_servers_did_is_told(place: Place, case: str) -> None:
    blocks, told = BLOCKS[case]
    prompt = place.message(USER, say(*blocks, {"type": "text", "text": "Rain."}), USER)
    for text in told:
        assert text in prompt
    assert "AAAA" not in prompt
    assert "<|channel|>final<|message|>Rain." in prompt


def test_a_block_that_tells_nothing(place: Place) -> None:
    answer = {"type": "text", "text": "Rain."}
    plain = place.message(USER, say(answer), USER)
    for block in (
        {"type": "tool_search_tool_result", "content": {"type": "x", "tool_references": []}},
        {"type": "compaction", "content": None},
        {"type": "mcp_tool_listing", "mcp_server_name": "docs", "tools": [{"name": "find"}]},
        {"type": "fallback", "content": "AAAA"},
    ):
        assert place.message(USER, say(block, answer), USER) == plain
    error = place.post(
        "/v1/messages", 400, messages=[USER, say({"type": "hologram"}), USER], max_tokens=9
    )["error"]
    assert "messages[1].content[0].type" in error["message"]


def test_references_without_a_type(place: Place) -> None:
    first = place.post("/v1/responses", input=[USER])
    (kept,) = ask(place.server, "GET", f"/v1/responses/{first['id']}/input_items").json["data"]
    answer = first["output"][-1]["id"]
    typed = [{"type": "item_reference", "id": each} for each in (kept["id"], answer)]
    plain = place.respond(*typed, {"role": "user", "content": "More"})
    for form in ({}, {"type": None}):
        bare = [{"id": each, **form} for each in (kept["id"], answer)]
        assert place.respond(*bare, {"role": "user", "content": "More"}) == plain
        place.post("/v1/conversations", items=bare)
        error = place.post("/v1/responses", 404, input=[{"id": "msg_none", **form}])["error"]
        assert error["param"] == "input[0].id"
