"""The recipes of ``mlxoss connect``, run as they are printed, by the clients they are for.

The server is a process of its own with the demo model, and asks for a key: whoever gets its
answer has followed the recipe.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Demo, Find, output

HELLO = "Hello! How can I help you?"


@pytest.mark.parametrize("name", ["openai-node", "vercel-ai"])
def test_node(client: Find, demo: Demo, tmp_path: Path, name: str) -> None:
    (tmp_path / "node_modules").symlink_to(client("node") / "node_modules")
    script = tmp_path / "recipe.mjs"
    script.write_text(demo.recipe(name))
    assert output(["node", script], tmp_path, MLXOSS_API_KEY=demo.key) == f"{HELLO}\n"


@pytest.mark.parametrize(
    ("name", "needed"),
    [("openai-python", "python"), ("agents", "python"), ("langchain", "python"),
     ("llamaindex", "llamaindex")],
)  # fmt: skip
def test_python(client: Find, demo: Demo, tmp_path: Path, name: str, needed: str) -> None:
    script = tmp_path / "recipe.py"
    script.write_text(demo.recipe(name))
    command = [client(needed) / "bin/python", script]
    assert output(command, tmp_path, MLXOSS_API_KEY=demo.key) == f"{HELLO}\n"


TOOL = """
def get_weather(city: str) -> str:
    "Get the weather in a city."
    return "sunny, 21 degrees"
"""


def test_llm(client: Find, demo: Demo, tmp_path: Path) -> None:
    llm = client("python") / "bin/llm"
    (tmp_path / "extra-openai-models.yaml").write_text(demo.recipe("llm"))

    def run(*words: str) -> str:
        return output([llm, *words], tmp_path, LLM_USER_PATH=str(tmp_path))

    run("keys", "set", "mlxoss", "--value", demo.key)
    assert run("-m", "mlxoss", "Hello!") == f"{HELLO}\n"
    ask = ("-m", "mlxoss", "-o", "temperature", "0", "--functions", TOOL)
    answer = run(*ask, "What's the weather like in Paris?")
    assert answer == "The weather in Paris: sunny, 21 degrees\n"
    schema = ("-m", "mlxoss", "-o", "temperature", "0", "--schema", "sum int")
    assert run(*schema, "What is 2 + 3?").startswith('{"sum":')
