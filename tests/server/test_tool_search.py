"""Tools that are found late: a random model, a real server, Anthropic's client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.leaning import Leaning
from tests.support.server.harness import running
from tests.support.waiting import HANG_S

LIMIT_BYTES = 1 << 28
ASK: Any = {"role": "user", "content": "Where is it warm?"}


def tool(name: str, **more: Any) -> Any:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    return {"name": name, "input_schema": schema, "strict": True} | more


TOOLS = [tool("search"), tool("look", defer_loading=True), tool("stop", defer_loading=True)]


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, guards: GrammarCompiler, encoding: Encoding
) -> Iterator[anthropic.Anthropic]:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, TinyModel(hidden=16))

    def load() -> Backend:
        return MlxBackend(Leaning(load_folder(folder)), prefixes=PrefixCache(LIMIT_BYTES))

    with (
        running(load, lambda: encoding, guards=guards) as server,
        anthropic.Anthropic(
            base_url=server.url, api_key="none", max_retries=0, timeout=HANG_S
        ) as client,
    ):
        yield client


def calls(client: anthropic.Anthropic, *messages: Any, **fields: Any) -> set[str]:
    """The tools that the random model calls, a call being required, in some answers."""
    called: set[str] = set()
    for seed in range(12):
        message = client.messages.create(
            model="m",
            max_tokens=300,
            messages=[ASK, *messages],
            tools=TOOLS,
            extra_body={"tool_choice": {"type": "any"}, "seed": seed} | fields,
        )
        called |= {block.name for block in message.content if block.type == "tool_use"}
    return called


def found(*names: str) -> list[Any]:
    """A search of tools that found these."""
    references = [{"type": "tool_reference", "tool_name": name} for name in names]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": references}
    use = {"type": "tool_use", "id": "t1", "name": "search", "input": {}}
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]


def removal(name: str) -> Any:
    tool = {"type": "tool_reference", "name": name}
    return {"role": "system", "content": [{"type": "tool_removal", "tool": tool}]}


def test_only_what_was_referred_to_is_called(client: anthropic.Anthropic) -> None:
    assert calls(client) == {"search"}
    assert calls(client, *found("look")) == {"search", "look"}
    assert calls(client, *found("look"), removal("search")) == {"look"}
    chosen = {"tool_choice": {"type": "tool", "name": "stop"}}
    assert calls(client, *found("look"), **chosen) == {"stop"}


def test_a_reference_leaves_the_prefix_as_it_was(client: anthropic.Anthropic) -> None:
    def ask(*messages: Any) -> Any:
        body: Any = {"model": "m", "messages": [ASK, *messages], "tools": TOOLS}
        usage = client.messages.create(max_tokens=1, **body).usage
        counted = client.messages.count_tokens(**body).input_tokens
        assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)
        return usage

    ask()
    searched = ask(*found("none"))
    known = ask(*found("none"), *found("look"))
    before = searched.input_tokens + (searched.cache_read_input_tokens or 0)
    assert (known.cache_read_input_tokens or 0) >= before - 1
