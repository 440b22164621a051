"""``mlxoss load`` and ``mlxoss unload`` against a daemon process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.runner import environment, mlxoss

HIDDEN = 32
WEIGHTS_BYTES = 2 * 201_088 * HIDDEN * 4  # the embedding and the head, in pieces below 32 MB


@pytest.mark.slow
def test_the_memory_is_given_back_and_the_next_request_waits(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model", TinyModel(hidden=HIDDEN))
    with start_daemon(tmp_path, "--model", str(model), "--context-length", "90") as daemon:
        daemon.wait_until_loaded()
        url = ("--url", str(daemon.url))

        def held() -> int:
            found: int = daemon.health()["memory"]["process_bytes"]
            return found

        for _ in range(2):
            loaded = held()
            done = mlxoss(tmp_path, "unload", *url)
            assert (done.returncode, done.stderr) == (0, "")
            assert re.fullmatch(
                r"The model is unloaded; the server holds \d+ MB \(before: \d+ MB\)\.\n",
                done.stdout,
            )
            assert daemon.health()["status"] == "unloaded"
            unloaded = held()
            assert unloaded < loaded - 0.9 * WEIGHTS_BYTES
            assert mlxoss(tmp_path, "chat", "Hi", *url).returncode == 0
            assert daemon.health()["status"] == "ok"
            assert held() > unloaded + 0.9 * WEIGHTS_BYTES
        assert mlxoss(tmp_path, "unload", *url).returncode == 0
        done = mlxoss(tmp_path, "load", "--json", *url)
        assert json.loads(done.stdout)["status"] == "ok"
        assert daemon.health()["status"] == "ok"
        assert daemon.stop(signal.SIGTERM) == 0
    waits = re.findall(r"/v1/responses .* wait=([\d.]+)s", "".join(daemon.said))
    assert [float(wait) > 0 for wait in waits] == [True, True]


@pytest.mark.slow
def test_unload_says_what_it_waits_for(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model")
    with start_daemon(tmp_path, "--model", str(model), "--guard", "off") as daemon:
        daemon.wait_until_loaded()
        url = ("--url", str(daemon.url))
        command = [sys.executable, "-m", "mlxoss", "chat", "Hi", *url]
        pipe = subprocess.DEVNULL
        with subprocess.Popen(
            command, env=environment(tmp_path), stdin=pipe, stdout=pipe, stderr=pipe
        ) as chat:
            daemon.wait_until(lambda: daemon.health()["active_requests"] == 1)
            command[3:] = ["unload", *url]
            with subprocess.Popen(
                command, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
            ) as unload:
                assert unload.stderr is not None
                assert unload.stderr.readline() == "Waiting for 1 request to finish ...\n"
                daemon.wait_until(lambda: "is to be unloaded" in "".join(daemon.said))
                assert daemon.health()["active_requests"] == 1
                chat.kill()
                assert unload.wait(300) == 0
        assert daemon.health()["status"] == "unloaded"


@pytest.mark.parametrize("command", ["load", "unload"])
def test_no_server_is_one_sentence(tmp_path: Path, command: str) -> None:
    done = mlxoss(tmp_path, command, "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mlxoss: No server at http://127.0.0.1:9; start it with: mlxoss serve\n"


@pytest.mark.slow
def test_load_warm_computes_what_conversations_begin_with(tmp_path: Path) -> None:
    model = str(write_checkpoint(tmp_path / "tiny"))
    rules: Any = {"role": "system", "content": "Be kind to trolls. " * 80}
    table = tmp_path / "mlxoss" / "cache" / "prefixes.json"

    def say(daemon: Daemon, text: str) -> int:
        with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="x", timeout=300) as client:
            messages: Any = [rules, {"role": "user", "content": text}]
            said = client.chat.completions.create(model="m", messages=messages, max_tokens=2)
        assert said.usage is not None
        assert said.usage.prompt_tokens_details is not None
        return said.usage.prompt_tokens_details.cached_tokens or 0

    for number, flags in enumerate(
        ([], ["--date", "2031-01-01"], ["--warm-prefixes", "off"]), start=1
    ):
        with start_daemon(tmp_path, "--model", model, *flags) as daemon:
            daemon.wait_until_loaded()
            done = mlxoss(tmp_path, "load", "--warm", "--url", str(daemon.url))
            assert (done.returncode, done.stderr) == (0, "")
            count = {1: "0 beginnings", 2: "1 beginning", 3: "0 beginnings"}[number]
            assert f"The model is loaded; {count} of prompts computed ahead; " in done.stdout
            cached = [say(daemon, text) for text in ("Hello!", "Good day!")]
            assert (cached[0] > 300) == (number > 1)
            assert table.exists() == (number < 3)
            assert daemon.stop(signal.SIGTERM) == 0
        if number == 1:
            told = json.loads(mlxoss(tmp_path, "privacy", "--json").stdout)
            (entry,) = [one for one in told if one["where"] == str(table)]
            assert entry["words"]
            assert entry["bytes"] == table.stat().st_size > 0
    assert mlxoss(tmp_path, "store", "clear", "--yes").returncode == 0
