"""What a request declares of the tools that this server runs, against what it has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Tool

from mlxoss.api.hosted.declared import DeclaredBrowser, DeclaredPython, HostedOffer
from mlxoss.api.responses.hosted.declared import read_mcp
from mlxoss.api.responses.hosted.mcp_lists import listed_servers, to_function_name
from mlxoss.api.responses.parse_items import parse_items
from mlxoss.api.responses.tool_table import ToolKind
from mlxoss.api.responses.tools import read_tools
from mlxoss.api.tool_choice import ToolChoice, read_tool_choice
from mlxoss.errors import InvalidRequest
from mlxoss.outcomes import McpServerRef, McpTool, McpToolList
from tests.support.api.hosted_runs import CODE, FILES, LISTS, OFFER, SEARCH, TOOLS
from tests.support.api.strict import check

NOTHING = HostedOffer()
ADDRESSES = HostedOffer(allows_addresses=True)
SECRET = "canary-7f3a"
WIKI = {
    "type": "mcp",
    "server_label": "wiki",
    "server_url": f"https://user:{SECRET}@wiki.example:8443/mcp?token={SECRET}",
    "headers": {"X-Key": SECRET, "authorization": "old"},
    "authorization": SECRET,
    "server_description": "An encyclopedia.",
    "require_approval": {"never": {"tool_names": ["ask"]}},
    "allowed_tools": {"tool_names": ["ask", "edit"]},
}


@pytest.mark.parametrize(
    "kind",
    ["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"],
)
def test_a_search_by_each_of_its_names(kind: str) -> None:
    tool = {
        "type": kind,
        "search_context_size": "low",
        "user_location": {"type": "approximate", "city": "Bergen"},
        **({} if "preview" in kind else {"filters": {"allowed_domains": ["a.example"]}}),
    }
    table = read_tools([tool], offer=OFFER)
    domains = () if "preview" in kind else ("a.example",)
    assert table.hosted.browser == DeclaredBrowser(domains)
    assert [one.name for one in table.hosted.builtins] == ["browser"]
    assert list(table.public) == [tool]
    check(Tool, table.public[0])


@pytest.mark.parametrize(
    ("container", "declared", "public"),
    [
        ({"type": "auto"}, None, {"type": "auto"}),
        ({"type": "auto", "memory_limit": "4g"}, None, {"type": "auto", "memory_limit": "4g"}),
        ("cntr_12", "cntr_12", "cntr_12"),
        (None, None, {"type": "auto"}),
    ],
)
def test_code_in_each_kind_of_container(container: Any, declared: str | None, public: Any) -> None:
    table = read_tools([{"type": "code_interpreter", "container": container}], offer=OFFER)
    assert table.hosted.python == DeclaredPython(declared)
    assert list(table.public) == [{"type": "code_interpreter", "container": public}]
    check(Tool, table.public[0])


def test_the_order_is_that_of_the_model() -> None:
    table = read_tools([CODE, SEARCH], offer=OFFER)
    assert [one.name for one in table.hosted.builtins] == ["browser", "python"]


@pytest.mark.parametrize(
    "tool",
    [
        *TOOLS[:3],
        {"type": "image_generation"},
        {**SEARCH, "external_web_access": False},
        {**WIKI},
        {"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail"},
        {**CODE, "allowed_callers": ["programmatic"]},
    ],
)
def test_what_is_not_here_is_left_out(tool: dict[str, Any]) -> None:
    is_enabled = tool not in TOOLS
    table = read_tools([tool], offer=OFFER if is_enabled else NOTHING)
    assert table.dropped == (tool["type"],)
    assert not table.hosted
    assert (table.public, table.functions) == ((), ())
    assert SECRET not in repr(table)


def test_a_server_of_the_configuration_may_be_called_a_connector() -> None:
    """The AI SDK sends no server without an address or a connector."""
    label = OFFER.mcp_labels[0]
    tool = {"type": "mcp", "server_label": label, "connector_id": label}
    table = read_tools([tool], offer=OFFER)
    assert [one.server for one in table.hosted.mcp] == [McpServerRef(label)]
    check(Tool, table.public[0])


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (
            {"type": "web_search", "filters": {"allowed_domains": [""]}},
            "filters.allowed_domains[0]",
        ),
        ({"type": "web_search", "filters": {"blocked_domains": ["a"]}}, "filters.blocked_domains"),
        ({"type": "web_search", "search_context_size": "huge"}, "search_context_size"),
        ({**CODE, "container": {"type": "auto", "file_ids": ["f"]}}, "container.file_ids"),
        (
            {**CODE, "container": {"type": "auto", "network_policy": {"type": "allowlist"}}},
            "container.network_policy",
        ),
        ({**CODE, "container": "../../etc"}, "container"),
        ({**CODE, "container": {"type": "own"}}, "container.type"),
        ({"type": "mcp"}, "server_label"),
        ({"type": "mcp", "server_label": ""}, "server_label"),
        ({"type": "mcp", "server_label": "mail"}, "server_label"),
        ({**WIKI, "server_url": "file:///etc/passwd"}, "server_url"),
        ({**WIKI, "server_url": "http://["}, "server_url"),
        ({**WIKI, "require_approval": "sometimes"}, "require_approval"),
        ({**WIKI, "require_approval": {"never": 5}}, "require_approval.never"),
        (
            {**WIKI, "require_approval": {"never": {"tool_names": [1]}}},
            "require_approval.never.tool_names[0]",
        ),
        ({**WIKI, "allowed_tools": "all"}, "allowed_tools"),
        ({**WIKI, "allowed_tools": ["a", 2]}, "allowed_tools[1]"),
        ({**WIKI, "headers": {"a": 1}}, "headers.a"),
    ],
)
def test_what_is_wrong_is_named(tool: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tools([{"type": "function", "name": "f"}, tool], offer=OFFER)
    assert caught.value.param == f"tools[1].{param}"
    assert SECRET not in str(caught.value)


def test_what_is_not_enabled_is_not_looked_into() -> None:
    for kind in ("web_search", "code_interpreter", "mcp"):
        table = read_tools([{"type": kind, "container": 5, "server_label": 5, "filters": 5}])
        assert table.dropped == (kind,)


def test_a_tool_is_declared_once() -> None:
    for tool, param in [(SEARCH, "type"), (CODE, "type"), (FILES, "server_label")]:
        with pytest.raises(InvalidRequest, match="declared twice") as caught:
            read_tools([tool, tool], offer=OFFER)
        assert caught.value.param == f"tools[1].{param}"


def test_secrets_are_for_the_server_alone() -> None:
    (declared,) = read_mcp([WIKI, *TOOLS], HostedOffer(allows_addresses=True, browser=True))[:1]
    assert declared.server.url == WIKI["server_url"]
    assert declared.server.headers == (("X-Key", SECRET), ("Authorization", f"Bearer {SECRET}"))
    table = read_tools([WIKI], offer=ADDRESSES)
    (public,) = table.public
    assert public == {
        "type": "mcp",
        "server_label": "wiki",
        "server_url": "https://wiki.example:8443/",
        "server_description": "An encyclopedia.",
        "require_approval": {"never": {"tool_names": ["ask"]}},
        "allowed_tools": {"tool_names": ["ask", "edit"]},
    }
    check(Tool, public)
    assert SECRET not in json.dumps(table.public)
    assert SECRET not in repr(declared)
    assert SECRET not in repr(table)


def test_tools_of_a_server_are_functions() -> None:
    lists = {
        "wiki": McpToolList((McpTool("ask", {}, "Asks."), McpTool("edit", {}), McpTool("x", {})))
    }
    table = read_tools([{"type": "function", "name": "f"}, WIKI], offer=ADDRESSES, mcp=lists)
    assert [tool.name for tool in table.functions] == ["f", "wiki__ask", "wiki__edit"]
    assert table.functions[1].description == "An encyclopedia.\nAsks."
    assert table.functions[2].description is None
    ask, edit = table.names["wiki__ask"], table.names["wiki__edit"]
    assert (ask.kind, ask.name, ask.namespace) == (ToolKind.MCP, "ask", "wiki")
    assert (ask.needs_approval, edit.needs_approval) == (False, True)
    assert [call.name for call in table.calls] == ["f", "wiki__ask", "wiki__edit"]


def test_a_server_that_offers_nothing_has_no_functions() -> None:
    assert read_tools([FILES], offer=OFFER).functions == ()


APPROVALS: list[tuple[Any, tuple[bool, bool]]] = [
    (None, (True, True)),
    ("always", (True, True)),
    ("never", (False, False)),
    ({"never": {"read_only": True}}, (False, True)),
    ({"never": {"tool_names": ["write"]}}, (True, False)),
    ({"always": {"tool_names": ["write"]}, "never": {"read_only": True}}, (False, True)),
    (
        {"always": {"tool_names": ["read"]}, "never": {"tool_names": ["read", "write"]}},
        (True, False),
    ),
    ({"never": {}}, (True, True)),
    ({}, (True, True)),
]


@pytest.mark.parametrize(("rule", "asked"), APPROVALS)
def test_who_has_to_ask(rule: Any, asked: tuple[bool, bool]) -> None:
    table = read_tools([{**FILES, "require_approval": rule}], offer=OFFER, mcp=LISTS)
    names = ("files__read", "files__write")
    assert tuple(table.names[name].needs_approval for name in names) == asked


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["files__read", "files__write"]),
        (["write"], ["files__write"]),
        ({"read_only": True}, ["files__read"]),
        ({"read_only": False}, ["files__write"]),
        ({"tool_names": ["read", "write"], "read_only": True}, ["files__read"]),
        ([], []),
    ],
)
def test_which_tools_are_allowed(allowed: Any, names: list[str]) -> None:
    table = read_tools([{**FILES, "allowed_tools": allowed}], offer=OFFER, mcp=LISTS)
    assert [tool.name for tool in table.functions] == names


def test_names_are_the_model_s_own_kind_and_never_twice() -> None:
    tools = [{"type": "function", "name": "files__read"}, FILES]
    table = read_tools(tools, offer=OFFER, mcp=LISTS)
    assert [tool.name for tool in table.functions] == [
        "files__read",
        "files__read_2",
        "files__write",
    ]
    assert to_function_name("a.b", "c/d e", ()) == "a_b__c_d_e"
    long = to_function_name("l" * 40, "t" * 40, ())
    assert len(long) == 64
    again = to_function_name("l" * 40, "t" * 40, {long})
    assert (len(again), again[-2:]) == (64, "_2")


def test_a_list_in_the_conversation_is_taken_from_there() -> None:
    items = parse_items(
        [
            {"type": "mcp_list_tools", "id": "l1", "server_label": "files", "tools": []},
            {"type": "message", "role": "user", "content": "Hi"},
            {
                "type": "mcp_list_tools",
                "id": "l2",
                "server_label": "files",
                "tools": [
                    {"name": "a", "input_schema": {"type": "object"}, "annotations": None},
                    {"name": "b", "input_schema": None, "annotations": {"readOnlyHint": True}},
                    {"nonsense": 1},
                    5,
                ],
            },
            {"type": "mcp_list_tools", "server_label": "wiki", "tools": [], "error": "Gone."},
            {"type": "mcp_list_tools", "server_label": 5, "tools": "x"},
        ],
        make_id=lambda prefix: prefix + "1",
        find=lambda _: None,
    )
    tools = (McpTool("a", {"type": "object"}), McpTool("b", {}, is_read_only=True))
    assert listed_servers(items) == {"files": McpToolList(tools)}


def choose(value: Any, tools: Any = TOOLS, offer: HostedOffer = OFFER) -> ToolChoice:
    table = read_tools(tools, offer=offer, mcp=LISTS)
    return read_tool_choice(value, table.calls, table.others)


CHOICES: list[tuple[Any, list[str], list[str], bool]] = [
    ("auto", ["look_up", "files__read", "files__write"], ["browser", "python"], False),
    (None, ["look_up", "files__read", "files__write"], ["browser", "python"], False),
    ("none", [], [], False),
    ("required", ["look_up", "files__read", "files__write"], ["browser", "python"], True),
    ({"type": "web_search"}, [], ["browser"], True),
    ({"type": "web_search_preview_2025_03_11"}, [], ["browser"], True),
    ({"type": "code_interpreter"}, [], ["python"], True),
    ({"type": "mcp", "server_label": "files"}, ["files__read", "files__write"], [], True),
    ({"type": "mcp", "server_label": "files", "name": "read"}, ["files__read"], [], True),
    ({"type": "mcp"}, ["files__read", "files__write"], [], True),
    ({"type": "function", "name": "look_up"}, ["look_up"], [], True),
    (
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "web_search"}, {"type": "mcp", "server_label": "files"}],
        },
        ["files__read", "files__write"],
        ["browser"],
        True,
    ),
    (
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "code_interpreter"}, {"type": "image_generation"}, {"type": [1]}],
        },
        [],
        ["python"],
        False,
    ),
]


@pytest.mark.parametrize(("value", "calls", "builtins", "must_call"), CHOICES)
def test_a_choice_among_all_kinds(
    value: Any, calls: list[str], builtins: list[str], must_call: bool
) -> None:
    choice = choose(value)
    assert [call.name for call in choice.calls] == calls
    assert list(choice.builtins) == builtins
    assert choice.must_call is must_call


@pytest.mark.parametrize(
    ("value", "tools", "offer", "message"),
    [
        ({"type": "web_search"}, [SEARCH], NOTHING, "mlxoss tools enable browser"),
        ({"type": "web_search"}, [{**SEARCH, "external_web_access": False}], OFFER, "may be used"),
        ({"type": "code_interpreter"}, [CODE], NOTHING, "mlxoss tools enable python"),
        ({"type": "code_interpreter"}, [SEARCH], OFFER, "may be used"),
        ({"type": "mcp", "server_label": "files"}, [FILES], NOTHING, "mlxoss mcp list"),
        ({"type": "mcp", "server_label": "x"}, [FILES], OFFER, "label"),
        ({"type": "mcp", "server_label": [1]}, [FILES], OFFER, "label"),
        ({"type": "mcp", "server_label": "files", "name": "x"}, [FILES], OFFER, "no such tool"),
        ({"type": "image_generation"}, [SEARCH], OFFER, "no tool 'image_generation'"),
        ("required", [SEARCH], NOTHING, "no function to call"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    value: Any, tools: Any, offer: HostedOffer, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        choose(value, tools, offer)
    assert (caught.value.param or "").startswith("tool_choice")
