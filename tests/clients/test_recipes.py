"""The recipes of ``mlxoss connect``, run as they are printed, by the clients they are for.

The server is a process of its own with the demo model, and asks for a key: whoever gets its
answer has followed the recipe. What it says is sampled, so it may be anything.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Demo, Find, output

RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"


@pytest.mark.parametrize("name", ["openai-node", "vercel-ai"])
def test_node(client: Find, demo: Demo, tmp_path: Path, name: str) -> None:
    (tmp_path / "node_modules").symlink_to(client("node") / "node_modules")
    script = tmp_path / "recipe.mjs"
    script.write_text(demo.recipe(name))
    with demo.answering(RESPONSES):
        assert output(["node", script], tmp_path, MLXOSS_API_KEY=demo.key).strip()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai-python", RESPONSES),
        ("agents", RESPONSES),
        ("langchain", CHAT),
        ("llamaindex", CHAT),
    ],
)
def test_python(client: Find, demo: Demo, tmp_path: Path, name: str, path: str) -> None:
    folder = client("llamaindex" if name == "llamaindex" else "python")
    script = tmp_path / "recipe.py"
    script.write_text(demo.recipe(name))
    with demo.answering(path):
        assert output([folder / "bin/python", script], tmp_path, MLXOSS_API_KEY=demo.key).strip()


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
    with demo.answering(CHAT):
        assert run("-m", "mlxoss", "Hello!").strip()
    ask = ("-m", "mlxoss", "-o", "temperature", "0", "--functions", TOOL)
    answer = run(*ask, "What's the weather like in Paris?")
    assert answer == "The weather in Paris: sunny, 21 degrees\n"
    schema = ("-m", "mlxoss", "-o", "temperature", "0", "--schema", "sum int")
    assert run(*schema, "What is 2 + 3?").startswith('{"sum":')


def test_llm_by_its_file(client: Find, demo: Demo, tmp_path: Path) -> None:
    """Beside a model of another server."""
    llm, file = client("python") / "bin/llm", tmp_path / "extra-openai-models.yaml"
    file.write_text("- model_id: other # c\n  model_name: m\n  api_base: http://127.0.0.1:1\n")
    before = file.read_text()
    own = {"LLM_USER_PATH": str(tmp_path)}
    demo.mlxoss("connect", "llm", "--write", **own)
    output([llm, "keys", "set", "mlxoss", "--value", demo.key], tmp_path, **own)
    with demo.answering(CHAT):
        assert output([llm, "-m", "mlxoss", "Hello!"], tmp_path, **own).strip()
    assert "OpenAI Chat: other" in output([llm, "models"], tmp_path, **own)
    demo.mlxoss("connect", "llm", "--remove", **own)
    assert file.read_text() == before
