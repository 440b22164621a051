"""What four ranks serve is what one process serves, and what they cannot is refused."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.runner import mlxoss
from tests.support.ranks.served import group, group_with_other, pids, write_hosts
from tests.support.service.box import is_alive

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"place": {"enum": ["harbour", "market"]}},
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}


def answers(daemon: Daemon) -> dict[str, Any]:
    """What is said to some requests, and how much of the last ones' prompts was cached."""
    client = OpenAI(base_url=f"{daemon.url}/v1", api_key="-", max_retries=0, timeout=300)

    def complete(length: int) -> tuple[str, int]:
        prompt = [1000 + (7 * place * length) % 9000 for place in range(length)]
        done = client.completions.create(model="-", prompt=prompt, max_tokens=4, temperature=0)
        details = done.usage.prompt_tokens_details if done.usage else None
        assert details is not None
        return done.choices[0].text, details.cached_tokens or 0

    def call() -> Any:
        done = client.chat.completions.create(
            model="-",
            messages=[{"role": "user", "content": "Look at the harbour."}],
            tools=[TOOL],
            tool_choice="required",
            parallel_tool_calls=False,
            max_completion_tokens=40,
            temperature=0,
        )
        calls = done.choices[0].message.tool_calls or ()
        return [each.to_dict()["function"] for each in calls], done.choices[0].finish_reason

    alone = complete(40)
    with ThreadPoolExecutor(8) as pool:
        batch = list(pool.map(complete, (1, 5, 41, 127, 128, 129, 150, 200)))
    return {"alone": alone, "batch": batch, "restored": complete(200), "call": call()}


def test_four_ranks_say_what_one_process_says(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", TinyModel(hidden=16, kv_heads=4))
    with start_daemon(tmp_path / "one", "--model", str(folder)) as daemon:
        daemon.wait_until_loaded()
        expected = answers(daemon)
    with group(tmp_path, 4, "--model", str(folder), "--rank-timeout", "60") as daemon:
        found = answers(daemon)
        assert len(pids(daemon)) == 4
    assert found == expected
    assert found["restored"] == (found["batch"][-1][0], 199)
    assert found["call"][0]


@pytest.mark.parametrize(
    ("hosts", "flags", "why"),
    [
        (3, (), "2 key-value heads cannot be shared evenly by 3 ranks"),
        (4, (), "2 key-value heads cannot be shared evenly by 4 ranks"),
        (2, ("--fp16",), "fp16 cannot be had with a hostfile"),
        (2, ("--hostfile", "absent.json"), "absent.json cannot be used: it does not exist"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    tmp_path: Path, hosts: int, flags: tuple[str, ...], why: str
) -> None:
    folder = write_checkpoint(tmp_path / "model", TinyModel(hidden=16))
    hostfile = write_hosts(tmp_path, hosts)
    done = mlxoss(tmp_path, "serve", "--model", str(folder), "--hostfile", str(hostfile), *flags)
    assert done.returncode != 0
    assert why in done.stderr


def test_the_first_host_is_this_machine(tmp_path: Path) -> None:
    hostfile = tmp_path / "hosts.json"
    hosts = [{"ssh": name, "ips": [ip]} for name, ip in (("a", "203.0.113.1"), ("b", "127.0.0.1"))]
    hostfile.write_text(json.dumps(hosts))
    done = mlxoss(tmp_path, "serve", "--hostfile", str(hostfile))
    assert done.returncode == 2
    assert "must be this machine, and 203.0.113.1 is no address of it" in done.stderr
    assert "backend" in mlxoss(tmp_path, "serve", "--backend", "jaccl").stderr


OTHER_VERSIONS = """
import importlib.metadata as metadata
true = metadata.version
metadata.version = lambda name: "0.0.1" if name == "mlx-lm" else true(name)
"""


def test_a_host_with_another_version_leaves_the_server_up_and_says_so(tmp_path: Path) -> None:
    """A machine behind ssh has another mlx-lm: starting again would not help."""
    with group_with_other(tmp_path, OTHER_VERSIONS) as daemon:
        daemon.wait_until(lambda: daemon.health()["status"] == "failed")
        error = daemon.health()["error"]
        assert "Rank 1 on other-mac has " in error
        assert "mlx-lm 0.0.1, and rank 0 " in error
        assert not is_alive(pids(daemon)[1])  # so it holds no memory there
        assert daemon.stop(signal.SIGTERM) == 0
