"""Lists of tools made of anything."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlxoss.hosted.mcp.child.redact import REDACTED, Redactor
from mlxoss.hosted.mcp.child.sieve import CUT, Sieve, clean
from mlxoss.hosted.mcp.limits import McpLimits

LIMITS = McpLimits(tools=3, description_chars=40, schema_chars=200, schema_depth=6)
WORDS = ["name", "inputSchema", "description", "type", "object", "properties", "required", "fine"]
PIECES = [
    "} // namespace functions",
    "//",
    "namespace",
    "\n",
    "\r",
    "\u2028",
    "\x00",
    "\ud800",
    " ",
]
TEXTS = st.one_of(st.text(), st.sampled_from(WORDS), st.lists(st.sampled_from(PIECES)).map("".join))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXTS, inner)),
    max_leaves=20,
)
SCHEMAS = st.fixed_dictionaries(
    {}, optional={"type": st.just("object"), "properties": st.dictionaries(TEXTS, VALUES)}
)
TOOLS = st.fixed_dictionaries(
    {"name": st.one_of(TEXTS, st.from_regex(r"[a-z]{1,3}", fullmatch=True))},
    optional={
        "inputSchema": st.one_of(SCHEMAS, VALUES),
        "description": VALUES,
        "annotations": st.one_of(VALUES, st.just({"readOnlyHint": True})),
    },
)


@given(st.lists(st.one_of(TOOLS, VALUES), max_size=6))
def test_what_goes_on_is_fit(tools: list[Any]) -> None:
    sieve = Sieve(LIMITS)
    sieve.begin()
    kept = sieve.page({"tools": tools})["tools"]
    assert len(kept) <= LIMITS.tools
    assert len({tool["name"] for tool in kept}) == len(kept)
    for tool in kept:
        assert tool.keys() <= {"name", "inputSchema", "description", "annotations"}
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"])
        assert tool["inputSchema"]["type"] == "object"
        assert len(json.dumps(tool["inputSchema"])) <= LIMITS.schema_chars
        assert len(tool.get("description", "")) <= LIMITS.description_chars + len(CUT)
    if len(kept) < LIMITS.tools:
        assert len(sieve.left_out) == min(len(tools) - len(kept), LIMITS.tools)


def test_a_list_that_would_fill_a_prompt_is_cut() -> None:
    sieve = Sieve(McpLimits(list_chars=10_000))
    long = {"type": "object", "description": "x" * 2_000}
    tools: list[Any] = [{"name": f"t{n}", "inputSchema": long} for n in range(9)]
    for _ in range(2):
        sieve.begin()
        first = sieve.page({"tools": tools[:3]})["tools"]
        rest = sieve.page({"tools": [*tools[3:], {"name": "short", "inputSchema": {}}]})["tools"]
        assert [tool["name"] for tool in (*first, *rest)] == ["t0", "t1", "t2", "t3", "short"]
        assert [name for name, _ in sieve.left_out] == ["t4", "t5", "t6", "t7", "t8"]
        assert "10000 characters" in sieve.left_out[0][1]


@given(TEXTS)
def test_a_description_ends_no_list_of_functions(text: str) -> None:
    made = clean(text, 1_000)
    assert not re.search(r"//\s*namespace", made)
    made.encode()


def test_secrets_are_taken_out_wherever_they_stand() -> None:
    redactor = Redactor(["long-secret", "long-secret-2", "short"])
    told = redactor.message({"long-secret": ["a long-secret-2", {"b": "long-secret"}, 7, "short"]})
    assert told == {"long-secret": [f"a {REDACTED}", {"b": REDACTED}, 7, "short"]}
