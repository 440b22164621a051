"""``mlxoss bench`` against a daemon, and against servers that are not ours."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from mlxoss.cli.bench.in_process import load
from mlxoss.cli.bench.table import BenchReport, to_decode_row, to_row
from mlxoss.cli.bench.timing import Timing
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.mlx.last_logits import LastLogits
from tests.cli.test_chat import DONE, chunk, serve
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import mlxoss

CASES = [
    *("1 stream", "4 streams", "8 streams", "cold prompt"),
    *("second turn", "edited last message", "tool loop"),
]


@pytest.mark.slow
def test_our_own_server_beside_the_model_itself(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model", TinyModel(hidden=16))
    with start_daemon(tmp_path, "--model", str(model)) as daemon:
        daemon.wait_until_loaded()
        port = str(daemon.url).rpartition(":")[2]
        env = {"MLXOSS_PORT": port, "MLXOSS_MODEL": str(model)}
        done = mlxoss(tmp_path, "bench", "--json", "--tokens", "16", env=env)
        assert (done.returncode, done.stderr) == (0, "")
        elsewhere = env | {"MLXOSS_MODEL": ""}
        other = mlxoss(tmp_path, "bench", "--in-process", env=elsewhere)
        assert daemon.stop(signal.SIGTERM) == 0
    assert other.returncode == 1
    assert "the configuration's model is mlxoss-demo, the server's model" in other.stderr
    report = json.loads(done.stdout)
    assert (report["url"], report["model"], report["notes"]) == (daemon.url, "model", [])
    rows = {row["case"]: row for row in report["rows"]}
    assert list(rows) == CASES
    for row in rows.values():
        assert row["first_token_s"] > 0
    for case in CASES[:4]:
        reached = rows[case]["decode_per_s"] or rows[case]["prefill_per_s"]
        assert rows[case]["of_limit"] == pytest.approx(reached / rows[case]["limit_per_s"])
    # What is new of a cold prompt is all but Harmony's first words.
    assert 90 < rows["cold prompt"]["prompt_tokens"] - rows["cold prompt"]["cached_tokens"] < 300
    for case in ("second turn", "edited last message", "tool loop"):
        assert rows[case]["cached_tokens"] > rows["cold prompt"]["cached_tokens"] + 90
    # Who reads an answer to its end has not left.
    assert " 499 " not in "".join(daemon.said)


@pytest.mark.parametrize("value", ["on", "off"])
def test_the_model_is_computed_as_the_server_computes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MLXOSS_FUSED_EXPERTS", value)
    monkeypatch.setenv("MLXOSS_COMPILED_LAYERS", value)
    folder = write_checkpoint(tmp_path / "model", TinyModel(hidden=16))
    model = load(resolve_model(str(folder)), rounds=1, tokens=1).model
    assert isinstance(model, LastLogits)
    fused = "gate_up_proj" in model.network.layers[0].mlp.experts
    assert fused == (value == "on")


def test_a_server_that_is_not_ours(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 2}
    answer = chunk(content="one") + chunk(content=" two") + chunk(finish_reason="stop")
    answer += b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n" + DONE
    with serve(answer) as server:
        asked = ("bench", "--model", "theirs", "--tokens", "16", "--url", f"{server.url}/v1")
        done = mlxoss(tmp_path, *asked, env={"OPENAI_API_KEY": "sk-x"})
    assert (done.returncode, done.stderr) == (0, "")
    head, columns, *lines = done.stdout.splitlines()
    assert head == f"theirs at {server.url}/v1, medians of 3"
    assert columns.split() == [
        "prompt",
        "cached",
        "first",
        "token",
        "prefill",
        "decode",
        "of",
        "the",
        "limit",
    ]
    assert [line[:24].strip() for line in lines] == CASES
    bodies = [body for _, body in server.asked]
    assert all("logit_bias" not in body for body in bodies)
    assert all(body["stream_options"] == {"include_usage": True} for body in bodies)
    firsts = [json.dumps(body["messages"][0]) for body in bodies if len(body["messages"]) == 1]
    assert len(set(firsts)) == len(firsts)
    looped = [m for body in bodies for m in body["messages"] if m["role"] == "tool"]
    assert {m["tool_call_id"] for m in looped} == {"call_1"}


def test_what_cannot_be_measured_is_one_sentence(tmp_path: Path) -> None:
    with serve(chunk(finish_reason="stop") + DONE) as silent:
        url = silent.url
        table = [
            (("--url", url, "--model", "m"), "The server showed no text; try: mlxoss bench"),
            (("--url", url), "The server refused: HTTP 501"),
            (("--url", "http://127.0.0.1:9"), "No server at http://127.0.0.1:9; start it with:"),
            (("--url", url, "--restart"), "--restart is for the installed service"),
        ]
        for flags, sentence in table:
            done = mlxoss(tmp_path, "bench", *flags)
            assert done.returncode != 0
            assert done.stdout == ""
            assert done.stderr.startswith(f"mlxoss: {sentence}")
            assert done.stderr.count("\n") == 1


def test_rates() -> None:
    timing = Timing(0.5, 2.5, 101, 1000, 900, 104, {})
    assert timing.prefill_per_s == 200
    assert timing.decode_per_s == 50  # each token a piece: those before the first are not seen
    coarse = Timing(0.5, 2.5, 11, 1000, 0, 101, {})
    assert coarse.decode_per_s == 50
    assert Timing(0.5, 0.5, 1, 10, 0, 1, {}).decode_per_s == 0
    row = to_decode_row("2 streams", [[timing, coarse]])
    assert (row.decode_per_s, row.prompt_tokens, row.prefill_per_s) == (100, 1000, None)
    report = BenchReport("u", "m", 1, [row, to_row("cold", [timing])])
    assert [line.split() for line in report.to_lines()[2:]] == [
        ["2", "streams", "1000", "450", "500", "ms", "100", "tok/s"],
        ["cold", "1000", "900", "500", "ms", "200", "tok/s"],
    ]
