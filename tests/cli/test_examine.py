"""Doctor's judgements that a Linux machine cannot bring about."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlxoss.cli.device import Device, ask_device
from mlxoss.cli.doctor.speed import compare
from mlxoss.cli.doctor.system import (
    System,
    check_system,
    check_wheel,
    check_wired,
    read_system,
)
from mlxoss.cli.memory import has_room_for_two, memory_limits
from mlxoss.findings import Level
from mlxoss.service.checks import check_memory
from mlxoss.service.subprocess import CommandResult


def test_elsewhere_the_checks_of_a_mac_are_skipped() -> None:
    found = list(check_system(System("linux", "x86_64")))
    assert [check.level for check in found] == [Level.SKIP, Level.SKIP]


@pytest.mark.parametrize(
    ("service_s", "foreground_s", "expected"),
    [(1.0, 1.0, Level.OK), (0.5, 1.0, Level.OK), (1.4, 1.0, Level.OK), (8.0, 1.0, Level.FAIL)],
)
def test_a_throttled_service_is_told(
    service_s: float, foreground_s: float, expected: Level
) -> None:
    found = compare(service_s, foreground_s)
    assert found.level is expected
    assert (expected is Level.FAIL) == (found.remedy is not None)


GB = 1_000_000_000
GIB = 1 << 30


class Runner:
    """A Mac's commands by name; ``python`` is MLX's answer, and what is not given fails."""

    def __init__(self, outs: dict[str, str]) -> None:
        self._outs = outs

    def __call__(self, command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
        name = "python" if command[0] == sys.executable else Path(command[0]).name
        out = self._outs.get(name)
        return CommandResult(1, "", f"{name} failed") if out is None else CommandResult(0, out, "")


def mlx_says(limit: int | None, *, there: bool = True) -> str:
    return json.dumps({"has_device": there, "limit_bytes": limit}) + "\n"


def a_mac(macos: str = "15.3", chip: str = "Apple M4", limit: int | None = 22 * GB) -> System:
    said = {"sw_vers": f"{macos}\n", "sysctl": f"{chip}\n", "python": mlx_says(limit)}
    return read_system("darwin", Runner(said))


def test_mlx_is_asked_in_a_process_of_its_own() -> None:
    assert ask_device() == Device(True, None)  # no Metal, and no other device that is missing


def test_the_folder_that_one_is_in_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlx.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert ask_device().problem is None


@pytest.mark.parametrize("said", [None, "", "no JSON", "[]", '{"has_device": true}'])
def test_mlx_that_does_not_answer_is_told(said: str | None) -> None:
    found = ask_device(Runner({} if said is None else {"python": said}))
    assert (found.has_device, found.limit_bytes) == (False, None)
    assert found.problem is not None


@pytest.mark.parametrize(
    ("platform", "said", "limit"),
    [
        ("darwin", mlx_says(11_453_251_584), 11_453_251_584),
        ("darwin", mlx_says(115_427_868_672), 115_427_868_672),
        ("darwin", "", None),
        ("linux", "", "all"),
    ],
)
def test_what_a_model_may_take_is_what_mlx_says(
    monkeypatch: pytest.MonkeyPatch, platform: str, said: str, limit: int | str | None
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    found, total = memory_limits(Runner({"python": said}))
    assert found == (total if limit == "all" else limit)


def test_what_cannot_be_asked_is_no_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = check_memory(12 * GB, None, 34 * GB)
    assert (found.level, "an unknown part of 34.0 GB" in found.detail) == (Level.WARN, True)
    assert check_memory(40 * GB, None, 34 * GB).level is Level.FAIL
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert not has_room_for_two(tmp_path)


def test_a_running_service_knows_its_limit_best() -> None:
    assert a_mac().limit_bytes(None) == 22 * GB
    assert a_mac().limit_bytes(13 * GB) == 13 * GB
    assert System("linux", "x86_64", total_bytes=5).limit_bytes(None) == 5


def test_a_mac_is_told_by_its_own_name() -> None:
    system, metal, _ = check_system(a_mac("26.3"))
    assert system.detail.startswith("macOS 26.3 on ")
    assert (metal.level, metal.detail) == (Level.OK, "the GPU may hold 22.0 GB")


def test_without_sw_vers_python_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.mac_ver", lambda: ("16.0", ("", "", ""), "arm64"))
    assert read_system("darwin", Runner({})).macos == "16.0"


@pytest.mark.parametrize(
    ("said", "why"),
    [(mlx_says(None, there=False), "no Metal device"), ("", "MLX does not run here")],
)
def test_a_gpu_that_is_not_there_is_told(said: str, why: str) -> None:
    _, metal, _ = check_system(read_system("darwin", Runner({"sw_vers": "15.3", "python": said})))
    assert metal.level is Level.FAIL
    assert why in metal.detail


@pytest.mark.parametrize(
    ("macos", "chip", "built_for", "level"),
    [
        ("26.3", "Apple M5 Pro", 15, Level.WARN),
        ("26.2", "Apple M5", 14, Level.WARN),
        ("26.3", "Apple M5", 26, Level.OK),
        ("26.1", "Apple M5", 15, Level.OK),
        ("26.3", "Apple M4 Max", 15, Level.OK),
        ("15.3", "Apple M1", 15, Level.OK),
        ("26.3", "Apple M5", None, Level.SKIP),
    ],
)
def test_a_build_for_an_older_system_is_told(
    monkeypatch: pytest.MonkeyPatch, macos: str, chip: str, built_for: int | None, level: Level
) -> None:
    monkeypatch.setattr("mlxoss.cli.doctor.system._WHEEL", "mlx")  # mlx-metal is a Mac's
    found = check_wheel(a_mac(macos, chip), built_for)
    assert found.level is level
    if level is Level.WARN:
        assert f"for macOS {built_for}, on macOS {macos}" in found.detail
        assert (found.remedy or "").startswith("SYSTEM_VERSION_COMPAT=0 ")


@pytest.mark.parametrize(
    ("setting", "gib", "told", "level", "words"),
    [
        ("auto", 32, None, Level.OK, "are wired: this Mac has 32 GiB"),
        ("auto", 32, 12 * GB, Level.OK, "(12.0 GB)"),
        ("auto", 16, None, Level.OK, "are not wired: this Mac has 16 GiB"),
        ("weights", 16, 12 * GB, Level.OK, "are wired: wired is set to weights"),
        ("off", 32, 12 * GB, Level.WARN, "but the service has wired 12.0 GB"),
        ("weights", 32, 0, Level.WARN, "but the service has wired 0.0 GB"),
    ],
)
def test_doctor_says_what_is_wired_and_why(
    setting: str, gib: int, told: int | None, level: Level, words: str
) -> None:
    system = System("darwin", "arm64", "15.3", "Apple M2", Device(True, 22 * GB), gib * GIB)
    found = check_wired(setting, system, told)
    assert found.level is level
    assert words in found.detail


def test_doctor_says_what_is_let_go_while_idle() -> None:
    system = System("darwin", "arm64", "15.3", "Apple M2", Device(True, 22 * GB), 32 * GIB)
    found = check_wired("auto", system, 0, 12 * GB)
    assert found.level is Level.OK
    assert "(12.0 GB; let go while idle, until the next request)" in found.detail
    # Changed since it was started.
    found = check_wired("off", system, 0, 12 * GB)
    assert (found.level, "let go" in found.detail) == (Level.OK, False)


def test_without_metal_the_setting_is_not_ignored_in_silence() -> None:
    linux = System("linux", "x86_64", total_bytes=32 * GIB)
    found = check_wired("auto", linux, None)
    assert (found.level, found.remedy) == (Level.SKIP, None)
    found = check_wired("weights", linux, None)
    assert (found.level, "only Metal wires" in found.detail) == (Level.WARN, True)
