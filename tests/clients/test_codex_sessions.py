"""Codex CLI's sessions that go on: later, with another server, and with other agents."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Find
from tests.server.conftest import Serve
from tests.support.clients.codex import add, configure, run_codex
from tests.support.clients.scripted import LARGE, THOUGHT, OneCall, call
from tests.support.fakes import ScriptedBackend
from tests.support.server.scripts import final, to_ids

MADE = call("exec_command", {"cmd": "echo made > made.txt"})
OPENAIS = "gAAAAABotAXNYQ3" * 20
"""As OpenAI's sealed reasoning looks."""
THEIR_SUMMARY = "Their summary of it."


def test_a_session_goes_on_where_it_was(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path
) -> None:
    codex, model = client("codex"), OneCall(encoding, MADE)
    configure(tmp_path, serve(model.backend(), model=LARGE))
    first = run_codex(codex, tmp_path, "Make the file made.txt.")
    first.check()
    again = run_codex(codex, tmp_path, "resume", "--last", "Thank you.")
    again.check()
    assert again.thread == first.thread
    before, after = model.prompts[-2:]
    # All but the reasoning, which the answer closed, and the answer come back as they were.
    told = encoding.decode(after)
    assert THOUGHT not in told
    assert '{"cmd": "echo made > made.txt"}' in told
    assert told.endswith(
        "Made it.<|end|><|start|>user<|message|>Thank you.<|end|><|start|>assistant"
    )
    assert encoding.decode(before[:1000]) == encoding.decode(after[:1000])


@pytest.mark.parametrize("how", ["resume", "fork"])
def test_a_session_that_another_server_sealed_goes_on(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path, logged_errors: Any, how: str
) -> None:
    """In the middle of a tool's loop, where reasoning counts.

    Codex resumes a thread only with the provider it began with (its address may have changed),
    and forks it with any.
    """
    codex, model = client("codex"), OneCall(encoding, MADE)

    def fails_after_the_call(request: GenerationRequest) -> Sequence[int]:
        if model.prompts:
            raise RuntimeError("gone")
        return model(request)

    file = configure(tmp_path, serve(ScriptedBackend(fails_after_the_call), model=LARGE))
    patient = file.read_text().replace('wire_api = "responses"', "stream_max_retries = 0\n\\g<0>")
    file.write_text(patient.replace("\\g<0>", 'wire_api = "responses"'))
    if how == "fork":
        file.write_text(file.read_text().replace("mlxoss", "other"))
    broken = run_codex(codex, tmp_path, "Make the file made.txt.")
    assert broken.done.returncode == 1
    assert any("failed" in line for line in logged_errors())
    as_if_openai_had_sealed(tmp_path)

    there = OneCall(encoding, MADE)
    server = serve(there.backend(), model=LARGE)
    configure(tmp_path, server)
    run = run_codex(codex, tmp_path, how, broken.thread, "Go on.")
    run.check()
    assert run.answer == "Made it."
    assert f"<|channel|>analysis<|message|>{THEIR_SUMMARY}<|end|>" in there.last_prompt
    assert OPENAIS not in there.last_prompt
    assert server.services.turns.foreign.count == 1


def as_if_openai_had_sealed(home: Path) -> None:
    """Change the session's reasoning into what OpenAI sends: sealed, with a summary alone."""
    (rollout,) = (home / "codex/sessions").rglob("*.jsonl")
    lines = [json.loads(line) for line in rollout.read_text().splitlines()]
    sealed = [line["payload"] for line in lines if line["payload"].get("type") == "reasoning"]
    assert sealed
    for item in sealed:
        del item["content"]
        item["encrypted_content"] = OPENAIS
        item["summary"] = [{"type": "summary_text", "text": THEIR_SUMMARY}]
    rollout.write_text("".join(json.dumps(line) + "\n" for line in lines))


TASK = "Count the files, please, and tell me of each what it is for."
DONE = "There is one file."


@pytest.mark.parametrize("fork_turns", ["none", "all"])
def test_agents_hear_each_other(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path, fork_turns: str
) -> None:
    """Their messages come as ``agent_message`` items, what they say as parts that are only called
    ``encrypted_content``: with this server Codex has nobody to seal them."""
    codex = client("codex")
    prompts: dict[str, list[str]] = {"root": [], "child": []}
    spawn = {"task_name": "child", "message": TASK, "fork_turns": fork_turns}
    script = by_agent(
        encoding,
        prompts,
        [call("collaboration__spawn_agent", spawn), call("collaboration__wait_agent", {})],
    )
    file = configure(tmp_path, serve(ScriptedBackend(script), model=LARGE))
    add(file, features={"multi_agent_v2": True})
    run = run_codex(codex, tmp_path, "Use a helper.")
    run.check()
    assert run.answer == "All is done."
    (child,) = prompts["child"]
    assert child.endswith(f"{TASK}<|end|><|start|>assistant")
    assert ("Use a helper." in child) == (fork_turns == "all")
    assert DONE in prompts["root"][-1]


def by_agent(
    encoding: Encoding, prompts: dict[str, list[str]], calls: Sequence[str]
) -> Callable[[GenerationRequest], Sequence[int]]:
    """The child says ``DONE``; its parent makes ``calls`` and ends when it has heard that."""

    def script(request: GenerationRequest) -> Sequence[int]:
        prompt = encoding.decode(request.prompt_ids)
        agent = "child" if "Message Type: NEW_TASK" in prompt else "root"
        made = len(prompts[agent])
        prompts[agent].append(prompt)
        if agent == "child":
            return to_ids(encoding, final(DONE))
        if made < len(calls):
            return to_ids(encoding, calls[made])
        return to_ids(encoding, final("All is done."))

    return script
