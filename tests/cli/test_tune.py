"""``mlxoss tune``: when it measures, and what becomes of what it finds."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cli.client.http import Server
from mlxoss.cli.tune import run as tune_run
from mlxoss.cli.tune.check import check_tuned, show_tuned
from mlxoss.cli.tune.run import TuneReport, Tuning
from mlxoss.cli.tune.search import Searched
from mlxoss.cli.tune.service import without_model
from mlxoss.config import Config
from mlxoss.daemon.power import power_problem
from mlxoss.daemon.tuning import apply_tuned
from mlxoss.engine.checkpoint.loader import ModelSource, resolve_model
from mlxoss.errors import MlxossError, ServiceError
from mlxoss.findings import Level
from mlxoss.service.health import Answered, Refused
from mlxoss.service.subprocess import CommandResult
from mlxoss.tuned import TUNED_FILE, Tuned, read_tuned, tuned_for, write_tuned
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import mlxoss

MAINS = """Now drawing from 'AC Power'
 -InternalBattery-0 (id=21823587)\t87%; charging; 0:42 remaining present: true
"""
BATTERY = """Now drawing from 'Battery Power'
 -InternalBattery-0 (id=21823587)\t87%; discharging; 5:12 remaining present: true
"""
UPS = """Now drawing from 'UPS Power'
 -Back-UPS (id=1234)\t100%; discharging; 0:32 remaining present: true
"""
DESKTOP = "Now drawing from 'AC Power'\n"
IN_USE = """System-wide power settings:
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                1 (sleep prevented by powerd, bluetoothd)
 hibernatemode        3
 ttyskeepawake        1
 displaysleep         2
 tcpkeepalive         1
{mode}
 womp                 0
"""


@pytest.mark.parametrize(
    ("batteries", "mode", "problem"),
    [
        (MAINS, " lowpowermode         0", None),
        (MAINS, " powermode            2", None),
        (DESKTOP, "", None),
        (BATTERY, " lowpowermode         0", "runs on battery"),
        (UPS, "", "runs on battery"),
        (MAINS, " lowpowermode         1", "low power mode"),
        (DESKTOP, " powermode            1", "low power mode"),
    ],
)
def test_a_mac_on_battery_or_in_low_power_mode(
    batteries: str, mode: str, problem: str | None
) -> None:
    def pmset(command: Sequence[str], *, timeout_s: float = 0) -> CommandResult:
        said = {("-g", "batt"): batteries, ("-g",): IN_USE.format(mode=mode)}
        assert command[0] == "/usr/bin/pmset"
        return CommandResult(0, said[tuple(command[1:])], "")

    found = power_problem("darwin", pmset)
    assert (found is None) is (problem is None)
    assert problem is None or problem in str(found)


def test_power_that_cannot_be_told_is_no_problem(tmp_path: Path) -> None:
    def none(command: Sequence[str], *, timeout_s: float = 0) -> CommandResult:
        raise ServiceError("there is no pmset")

    assert power_problem("darwin", none) is None
    assert power_problem("linux", supplies=tmp_path / "none") is None


@pytest.mark.parametrize(("status", "is_problem"), [("Discharging", True), ("Full", False)])
def test_linux_on_battery(tmp_path: Path, status: str, is_problem: bool) -> None:
    for name, kind in (("AC", "Mains"), ("BAT0", "Battery")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    (tmp_path / "BAT0" / "status").write_text(f"{status}\n")
    found = power_problem("linux", supplies=tmp_path)
    assert (found is not None) is is_problem


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    return resolve_model(str(write_checkpoint(tmp_path / "tiny", TinyModel(hidden=16))))


def revision_of(source: ModelSource) -> str:
    from mlxoss.engine.checkpoint.folder import read_revision

    return read_revision(source.find_folder())


def keep(folder: Path, source: ModelSource, **settings: Any) -> Tuned:
    tuned = Tuned("2026-11-28", tuned_for(revision_of(source)), settings, {"x": 1})
    write_tuned(folder, "tiny", tuned)
    return tuned


def test_what_was_found_is_used_where_nothing_else_is_set(
    tmp_path: Path, source: ModelSource
) -> None:
    assert apply_tuned(Config(), source, tmp_path) == Config()
    tuned = keep(tmp_path, source, command_buffers="200/300", compiled_layers=False)
    assert read_tuned(tmp_path, "tiny") == tuned
    used = apply_tuned(Config(), source, tmp_path)
    assert (used.command_buffers, used.compiled_layers) == ("200/300", False)
    own = Config(compiled_layers=True, given=frozenset({"compiled_layers"}))
    used = apply_tuned(own, source, tmp_path)
    assert (used.command_buffers, used.compiled_layers) == ("200/300", True)
    off = Config(tuned="off")
    assert apply_tuned(off, source, tmp_path) is off
    shared = Config(hostfile=Path("hosts.json"))
    assert apply_tuned(shared, source, tmp_path) is shared
    check = check_tuned(own, source, tmp_path)
    assert (check.level, check.name) == (Level.OK, "tuned")
    assert check.detail == (
        "command_buffers 200/300, compiled_layers off (measured 2026-11-28); but compiled_layers "
        "is set in the configuration, which counts"
    )
    assert show_tuned(Config(), "tiny", tmp_path) == tuned.to_text()
    assert show_tuned(off, "tiny", tmp_path) is None


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("mlx", "MLX"),
        ("system", "the system"),
        ("model", "the model's files"),
        ("chip", "the chip"),
    ],
)
def test_what_was_measured_with_something_else_is_stale(
    tmp_path: Path, source: ModelSource, field: str, words: str
) -> None:
    keep(tmp_path, source, compiled_layers=False)
    file = tmp_path / TUNED_FILE
    entries = json.loads(file.read_text())
    entries["tiny"]["measured_for"][field] = "another"
    file.write_text(json.dumps(entries))
    assert apply_tuned(Config(), source, tmp_path) == Config()
    check = check_tuned(Config(), source, tmp_path)
    assert check.level is Level.WARN
    assert check.detail == f"stale, {words} changed since 2026-11-28: not used"
    assert check.remedy == "mlxoss tune"
    shown = show_tuned(Config(), "tiny", tmp_path)
    assert shown is not None
    # Which files the model has, status does not look at.
    assert ("not used" in shown) is (field != "model")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"tiny": 1}', '{"tiny": {"date": "x", "settings": {"port": 1}}}']
)
def test_a_damaged_file_is_none(tmp_path: Path, source: ModelSource, text: str) -> None:
    (tmp_path / TUNED_FILE).write_text(text)
    assert apply_tuned(Config(), source, tmp_path) == Config()
    assert check_tuned(Config(), source, tmp_path).level is Level.SKIP
    keep(tmp_path, source, compiled_layers=False)
    assert not apply_tuned(Config(), source, tmp_path).compiled_layers


def test_a_setting_that_nobody_may_change_is_not_taken(tmp_path: Path, source: ModelSource) -> None:
    keep(tmp_path, source, port=1)
    assert read_tuned(tmp_path, "tiny") is None
    keep(tmp_path, source, command_buffers="nonsense")
    assert apply_tuned(Config(), source, tmp_path) == Config()


def test_a_service_with_requests_is_left_alone() -> None:
    busy = Answered({"status": "ok", "active_requests": 1, "queued_requests": 2})
    with (
        pytest.raises(MlxossError, match="The service has 3 requests in progress"),
        without_model(Server("http://127.0.0.1:9"), busy),
    ):
        pass
    with without_model(Server("http://127.0.0.1:9"), Refused("nobody")) as beside:
        pass
    assert beside.quiet


# A process in the trial's place. It says what would make anybody keep what it was told to try, and
# tells of other tokens where the experts are not fused.
_LIAR = """
import json, sys
order = json.loads(sys.stdin.readline())
fast = 200.0 if not order["compiled_layers"] or not order["fused_experts"] else 100.0
ids = "same" if order["fused_experts"] else "others"
print(json.dumps({"decode": [fast], "decode_rows": [fast], "prefill": [fast], "pause_s": [0.01],
                  "ids": ids, "peak_bytes": 1}))
"""


def tuned_by(
    program: str, folder: Path, source: ModelSource, env: Mapping[str, str] | None = None
) -> TuneReport:
    tuning = Tuning(Config(port=0), env or {}, folder, source)
    return tune_run.tune(tuning, anyway=True, program=[sys.executable, "-c", program])


def tried(found: Searched) -> dict[str, str | None]:
    return {one.candidate.name: one.why for one in found.tried}


def test_a_candidate_with_other_tokens_is_not_kept_however_fast(
    tmp_path: Path, source: ModelSource
) -> None:
    outcome = tuned_by(_LIAR, tmp_path, source)
    assert tried(outcome.found) == {
        "compiled_layers off": None,
        "fused_experts off": "it says other tokens",
        "plain_caches off": "nothing gained beyond the noise",
    }
    assert outcome.tuned is not None
    assert outcome.tuned.settings == {"compiled_layers": False}
    assert not apply_tuned(Config(), source, tmp_path).compiled_layers
    assert outcome.to_json()["settings"] == {"compiled_layers": False}
    assert tune_run.reset(Tuning(Config(), {}, tmp_path, source))
    assert apply_tuned(Config(), source, tmp_path) == Config()
    assert not tune_run.reset(Tuning(Config(), {}, tmp_path, source))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("print('hello')", "It answered something else"),
        ("raise SystemExit('no memory')", "no memory"),
        ("print('{\"decode\": []}')", "It answered something else"),
    ],
)
def test_a_trial_that_breaks_off(
    tmp_path: Path, source: ModelSource, program: str, why: str
) -> None:
    with pytest.raises(MlxossError, match=f"The model cannot be measured: {why}"):
        tuned_by(program, tmp_path, source)
    assert not (tmp_path / TUNED_FILE).exists()


# A process in the trial's place that fails where MLX's variables are others than those it expects.
_TELLER = """
import json, os
told = {name: value for name, value in os.environ.items() if name.startswith("MLX_")}
assert told == json.loads(os.environ["TOLD"]), told
print(json.dumps({"decode": [1.0], "decode_rows": [1.0], "prefill": [1.0], "pause_s": [0.01],
                  "ids": "same", "peak_bytes": 1}))
"""


@pytest.mark.parametrize("told", [{}, {"MLX_MAX_OPS_PER_BUFFER": "300"}])
def test_trials_have_the_service_s_variables_of_mlx_and_not_the_shell_s(
    tmp_path: Path, source: ModelSource, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever tried them in a shell once would have all candidates run alike."""
    monkeypatch.setenv("MLX_MAX_OPS_PER_BUFFER", "50")
    monkeypatch.setenv("MLX_MAX_MB_PER_BUFFER", "50")
    monkeypatch.setenv("TOLD", json.dumps(told))
    assert tuned_by(_TELLER, tmp_path, source, told).tuned is not None


@pytest.mark.slow
def test_the_whole_command_beside_a_daemon(tmp_path: Path) -> None:
    """The daemon's model goes meanwhile and comes back, and what was found is used then or not.

    Of the settings that there are on a CPU two are set, and so not tried: each takes a minute.
    """
    model = write_checkpoint(tmp_path / "tiny", TinyModel(hidden=16))
    with start_daemon(tmp_path, "--model", str(model)) as daemon:
        daemon.wait_until_loaded()
        env = {
            "MLXOSS_PORT": str(daemon.url).rpartition(":")[2],
            "MLXOSS_MODEL": str(model),
            "MLXOSS_COMPILED_LAYERS": "true",
            "MLXOSS_PLAIN_CACHES": "true",
        }
        done = mlxoss(tmp_path, "tune", "--json", "--anyway", env=env)
        assert (done.returncode, done.stderr) == (0, "")
        assert daemon.health()["status"] == "ok"
        assert daemon.stop(signal.SIGTERM) == 0
    said = "".join(daemon.said)
    assert said.count("unloaded") >= 1
    report = json.loads(done.stdout)
    names = [list(one["settings"]) for one in report["tried"]]
    assert names == [["fused_experts"]]
    assert report["control"]["decode"] > 0 < report["control"]["prefill"]
    for one in report["tried"]:
        assert one["why"] != "it says other tokens"
    entries = json.loads((tmp_path / "mlxoss" / "data" / TUNED_FILE).read_text())
    assert entries["tiny"]["settings"] == report["settings"]
    done = mlxoss(tmp_path, "tune", "--reset", env=env)
    assert done.stdout.startswith("Forgotten.")
    done = mlxoss(tmp_path, "tune", "--reset", "--json", env=env)
    assert json.loads(done.stdout) == {"changed": False}


@pytest.mark.parametrize("is_stale", [False, True])
def test_a_daemon_says_what_it_goes_by(
    tmp_path: Path, source: ModelSource, *, is_stale: bool
) -> None:
    data = tmp_path / "mlxoss" / "data"
    data.mkdir(parents=True)
    keep(data, source, compiled_layers=False)
    if is_stale:
        file = data / TUNED_FILE
        file.write_text(file.read_text().replace('"mlx": "', '"mlx": "9'))
    with start_daemon(tmp_path, "--model", str(source.folder)) as daemon:
        daemon.wait_until_loaded()
        assert daemon.stop(signal.SIGTERM) == 0
    said = "".join(daemon.said)
    assert ("tuned: compiled_layers off (measured 2026-11-28)" in said) is not is_stale
    assert ("what tune found is not used: MLX changed since" in said) is is_stale


def test_hosts_that_share_a_model_are_not_measured(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "tune", env={"MLXOSS_HOSTFILE": str(tmp_path / "hosts.json")})
    assert done.returncode == 1
    assert done.stderr == (
        "mlxoss: Several hosts share the model, and tune measures one machine.\n"
    )
