"""``mlxoss bench`` against a daemon, and against servers that are not ours."""

from __future__ import annotations

import datetime
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlxoss.cli.bench import in_process, saved
from mlxoss.cli.bench.ceiling import Ceiling
from mlxoss.cli.bench.chips import Chip, read_chip
from mlxoss.cli.bench.in_process import load
from mlxoss.cli.bench.table import BenchReport, BenchRow, to_decode_row, to_row
from mlxoss.cli.bench.timing import Timing
from mlxoss.engine.checkpoint.config import read_config
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.checkpoint.reads import StepReads, prefill_operations
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.service.subprocess import CommandResult
from tests.support.checkpoints import TinyModel, make_config, write_checkpoint
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import mlxoss
from tests.support.cli.scripted_server import serve
from tests.support.server.response_events import DONE

CASES = [
    *("1 stream", "4 streams", "8 streams", "cold prompt"),
    *("second turn", "edited last message", "tool loop"),
]


def chunk(finish_reason: str | None = None, **delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


@pytest.mark.slow
def test_our_own_server_beside_the_model_itself(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model", TinyModel(hidden=16))
    with start_daemon(tmp_path, "--model", str(model)) as daemon:
        daemon.wait_until_loaded()
        port = str(daemon.url).rpartition(":")[2]
        env = {"MLXOSS_PORT": port, "MLXOSS_MODEL": str(model)}
        done = mlxoss(tmp_path, "bench", "--json", "--tokens", "16", "--save", env=env)
        assert (done.returncode, done.stderr) == (0, "")
        again = mlxoss(tmp_path, "bench", "--share", "--tokens", "16", env=env)
        assert (again.returncode, again.stderr) == (0, "")
        elsewhere = env | {"MLXOSS_MODEL": ""}
        other = mlxoss(tmp_path, "bench", "--in-process", env=elsewhere)
        assert daemon.stop(signal.SIGTERM) == 0
    assert other.returncode == 1
    assert "the configuration's model is mlxoss-demo, the server's model" in other.stderr
    report = json.loads(done.stdout)
    assert (report["url"], report["model"]) == (daemon.url, "model")
    saved = tmp_path / "mlxoss" / "data" / "bench.json"
    assert report["notes"] == [f"Saved in {saved}."]
    ceiling = report["ceiling"]
    assert ceiling["measured_bytes_per_s"] > 0 < ceiling["measured_operations_per_s"]
    assert ceiling["step_bytes"] < sum(file.stat().st_size for file in model.glob("*.safetensors"))
    assert again.stdout.startswith("### mlxoss bench")
    for name in (str(daemon.url), port, str(tmp_path), "localhost", "at http"):
        assert name not in again.stdout
    assert "since saved" in again.stdout
    rows = {row["case"]: row for row in report["rows"]}
    assert list(rows) == CASES
    for row in rows.values():
        assert row["first_token_s"] > 0
    for case in CASES[:4]:
        reached = rows[case]["decode_per_s"] or rows[case]["prefill_per_s"]
        assert rows[case]["of_limit"] == pytest.approx(reached / rows[case]["limit_per_s"])
        assert rows[case]["of_chip"] > 0
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


@pytest.mark.parametrize(
    ("name", "cores", "rate"),
    [
        ("Apple M1", 8, 68.25),
        ("Apple M3 Max", 30, 300),
        ("Apple M3 Max", 40, 400),
        ("Apple M4 Max", 32, 410),
        ("Apple M4 Max", 40, 546),
        ("Apple M4 Max", None, None),
        ("Apple M3 Ultra", None, 819),
        ("Apple M9", 99, None),
        ("AMD EPYC", None, None),
    ],
)
def test_what_a_chip_reads(name: str, cores: int | None, rate: float | None) -> None:
    def ioreg(command: Sequence[str], *, timeout_s: float = 0) -> CommandResult:
        assert list(command) == ["/usr/sbin/ioreg", "-rc", "AGXAccelerator", "-d", "1"]
        told = "" if cores is None else f'    | |   "gpu-core-count" = {cores}\n'
        return CommandResult(0, "+-o AGXAcceleratorG16X  <class AGXAcceleratorG16X>\n" + told, "")

    chip = read_chip(name, ioreg)
    is_apple = name.startswith("Apple")
    assert (chip.name, chip.gpu_cores) == (name, cores if is_apple else None)
    assert chip.specified == (None if rate is None else rate * 1e9)


def test_a_share_of_the_chip() -> None:
    """A step of 1 GB on a chip that reads 100 GB in a second can be made 100 times in one."""
    config = read_config(make_config(TinyModel()))
    reads = StepReads(10**9, 0, 0, 0, config)
    row = BenchRow("2 streams", 10, 0, 0.1, decode_per_s=100.0)
    specified = Ceiling(Chip("Apple M", 40, 100e9), reads, 80e9, 1e12)
    assert specified.beside(row, 2, 16).of_chip == 0.5
    measured = Ceiling(Chip("other"), reads, 80e9)
    assert measured.beside(row, 2, 16).of_chip == 0.625
    assert Ceiling(Chip("other"), reads).beside(row, 2, 16).of_chip is None
    cold = BenchRow("cold", 1000, 0, 1.0, prefill_per_s=1000.0)
    each = prefill_operations(config, 1000)
    assert specified.beside(cold, 1, 16).of_chip == pytest.approx(1000 * each / 1e12)
    assert measured.beside(cold, 1, 16).of_chip is None
    assert "100 GB/s by Apple's specifications, 80 GB/s measured" in specified.to_lines()[0]


def test_a_run_is_compared_with_the_one_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path))

    def report(model: str, rate: float, first_s: float) -> BenchReport:
        rows = [
            BenchRow("1 stream", 10, 0, 0.1, decode_per_s=rate),
            BenchRow("cold prompt", 10, 0, first_s, prefill_per_s=3.0),
        ]
        return BenchReport("http://localhost:1", model, 3, rows)

    saved.save(report("m", 50.0, 0.2), datetime.date(2026, 11, 28))
    later = report("m", 60.0, 0.4)
    saved.compare(later)
    assert [row.since_saved for row in later.rows] == [pytest.approx(1.2), pytest.approx(0.5)]
    assert [line.split()[-1] for line in later.table()[1:]] == ["+20.0%", "-50.0%"]
    assert later.notes == ["Compared with the run that was saved on 2026-11-28."]
    other = report("other", 60.0, 0.4)
    saved.compare(other)
    assert [row.since_saved for row in other.rows] == [None, None]
    (tmp_path / "data" / saved.BENCH_FILE).write_text("{")
    saved.compare(other)
    assert other.notes == []


def test_the_model_beside_a_server_computes_one_position_s_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlx.core as mx

    monkeypatch.setenv("MLXOSS_HOME", str(tmp_path / "home"))
    source = resolve_model(str(write_checkpoint(tmp_path / "m", TinyModel(hidden=16))))
    loaded = in_process.load(source, 1, 2)
    assert loaded.model(mx.array([[1, 2, 3]])).shape == (1, 1, 201_088)


def test_two_forms_at_once_are_refused(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "bench", "--share", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mlxoss: --share is text: leave --json out.\n"


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
