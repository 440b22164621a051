"""``mlxoss serve`` as a process of its own, with real models."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.checkpoints import write_checkpoint
from tests.support.cli.daemon import start_daemon
from tests.support.cli.hub_server import Repo, serve_hub
from tests.support.cli.runner import mlxoss


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.slow
def test_without_a_model_the_demo_is_served_and_said_to_be_one(tmp_path: Path) -> None:
    with start_daemon(tmp_path) as daemon:
        daemon.wait_until_loaded()
        assert daemon.health()["model"] == "mlxoss-demo"
        answer = mlxoss(tmp_path, "chat", "Hello!", "--url", str(daemon.url))
        assert daemon.stop(signal.SIGTERM) == 0
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.strip()
    said = "".join(daemon.said)
    assert re.match(r"\S+Z mlxoss [\d.]+ pid \d+\n", said)
    assert "this serves mlxoss-demo: a tiny model" in said
    assert "mlxoss models pull mlx-community/gpt-oss-20b-MXFP4-Q8\n" in said
    assert "--model mlx-community/gpt-oss-20b-MXFP4-Q8\n" in said


@pytest.mark.slow
def test_the_command_it_suggests_works(tmp_path: Path, checkpoint: Path) -> None:
    flags = ("--model", str(checkpoint), "--context-length", "128")
    with start_daemon(tmp_path, *flags) as daemon:
        daemon.wait_until(lambda: any(line.startswith("  curl ") for line in daemon.said))
        said = "".join(daemon.said)
        command = next(line for line in said.splitlines() if line.startswith("  curl "))
        done = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl -s ")],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    assert '"object":"chat.completion"' in done.stdout.replace(" ", "")
    assert "mlxoss-demo" not in said


@pytest.mark.slow
def test_chat_streams_an_answer_from_it(tmp_path: Path, checkpoint: Path) -> None:
    flags = ("--model", str(checkpoint), "--context-length", "160")
    with start_daemon(tmp_path, *flags) as daemon:
        done = mlxoss(tmp_path, "chat", "Hello!", "--url", str(daemon.url))
    assert done.returncode == 0, done.stderr
    # Random weights seldom stop by themselves.
    assert done.stderr.strip() in ("", "(cut off at the limit of tokens)")


@pytest.mark.slow
def test_a_question_that_is_too_long_is_refused_in_one_sentence(
    tmp_path: Path, checkpoint: Path
) -> None:
    flags = ("--model", str(checkpoint), "--context-length", "128")
    with start_daemon(tmp_path, *flags) as daemon:
        done = mlxoss(tmp_path, "chat", "word " * 200, "--url", str(daemon.url))
    assert done.returncode == 1
    assert done.stderr.startswith("mlxoss: The server refused: This model's maximum context")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(tmp_path: Path, checkpoint: Path, number: signal.Signals) -> None:
    with start_daemon(tmp_path, "--model", str(checkpoint)) as daemon:
        assert daemon.stop(number) == 0
    assert "Traceback" not in "".join(daemon.said)


@pytest.mark.slow
def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, checkpoint: Path
) -> None:
    file = tmp_path / "mlxoss" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('port = 1\nhost = "192.0.2.1"\nlog_level = "error"\nmodel = "/gone"\n')
    env = {"MLXOSS_PORT": "2", "MLXOSS_HOST": "127.0.0.1", "MLXOSS_LOG_LEVEL": "info"}
    with start_daemon(tmp_path, "--model", str(checkpoint), env=env) as daemon:
        assert daemon.health()["model"] == "tiny"
    assert str(daemon.url).startswith("http://127.0.0.1:")
    assert any("info    mlxoss.server" in line for line in daemon.said)


@pytest.mark.slow
def test_the_log_goes_to_its_file(tmp_path: Path, checkpoint: Path) -> None:
    file = tmp_path / "logs" / "mlxoss.log"
    flags = ("--model", str(checkpoint), "--log-file", str(file), "--http-access-log")
    with start_daemon(tmp_path, *flags) as daemon:
        daemon.health()
        assert daemon.stop(signal.SIGTERM) == 0
    log = file.read_text("utf-8")
    assert f"listening on {daemon.url}" in log
    assert re.search(r"info    sanic\.access: \S+ GET http://\S+/health 200 ", log)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any("info    " in line for line in daemon.said)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, checkpoint: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mlxoss(tmp_path, "serve", "--model", str(checkpoint), "--port", str(port))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Serving" not in done.stderr
    assert f"127.0.0.1:{port}" in done.stderr.splitlines()[-1]
    assert "in use" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("model", "words"),
    [("./gone", "There is no model folder ./gone"), ("org/gone", "mlxoss models pull org/gone")],
)
def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path, model: str, words: str) -> None:
    done = mlxoss(tmp_path, "serve", "--model", model)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert done.stderr.splitlines()[1].startswith("mlxoss: ")
    assert words in done.stderr


@pytest.mark.slow
def test_what_was_pulled_is_served_also_when_the_branch_moved(
    tmp_path: Path, checkpoint: Path
) -> None:
    name, pulled, moved = "some-org/tiny", "a" * 40, "b" * 40
    files = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    with serve_hub() as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
        hub.repos[name] = Repo(pulled, files)
        assert mlxoss(tmp_path, "models", "pull", name, env=env).returncode == 0
    refs = tmp_path / "hf" / "hub" / "models--some-org--tiny" / "refs"
    refs.mkdir(exist_ok=True)
    (refs / "main").write_text(moved)
    with start_daemon(tmp_path, "--model", name) as daemon:
        daemon.wait_until_loaded()
        assert daemon.health()["model"] == name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "expected"),
    [((), set()), (("--tool-mcp", "on"), {"mlxoss.hosted.mcp.servers", "mlxoss.hosted.tools"})],
)
def test_nothing_of_a_tool_is_imported_unless_it_is_enabled(
    tmp_path: Path, flags: tuple[str, ...], expected: set[str]
) -> None:
    with start_daemon(tmp_path, *flags, env={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
        daemon.wait_until_loaded()
        client = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none")
        tools: Any = [{"type": "code_interpreter", "container": {"type": "auto"}}]
        client.responses.create(model="any", input="Hi", tools=tools, max_output_tokens=1)
        client.close()
        assert daemon.stop(signal.SIGTERM) == 0
    said = [line.rpartition("|")[2].strip() for line in daemon.said if line.startswith("import")]
    assert "mlxoss.turns.responses.hosted" in said
    hosted = {name for name in said if name.startswith("mlxoss.hosted.")}
    assert expected <= hosted
    assert bool(hosted) == bool(expected)
    others = ("mlxoss.hosted.python", "mlxoss.hosted.browser")
    assert not [name for name in hosted if name.startswith(others)]
    assert not {"mcp", "pypdf"} & set(said)


def test_the_server_starts_without_mlx() -> None:
    code = "import sys, mlxoss.daemon.assemble; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert "sanic" in imported
    slow = {
        "mlx",
        "mlx_lm",
        "transformers",
        "openai_harmony",
        "huggingface_hub",
        "numpy",
        "pydantic",
    }
    assert imported & slow == set()
