"""What this machine computes on, told on both systems; a Mac's kernel has a stand-in."""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Any

import pytest

from mlxoss.cli.bench.share import to_share
from mlxoss.cli.bench.table import BenchReport
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.system import chip

MAC = {"machdep.cpu.brand_string": b"Apple M4 Max", "kern.osversion": b"25B78"}


class MacLibrary:
    """``sysctlbyname`` for names whose values are texts."""

    def __init__(self, path: str | None) -> None:
        assert path is None

    @staticmethod
    def sysctlbyname(name: bytes, value: Any, size: Any, *_: object) -> int:
        found = MAC.get(name.decode())
        if found is None:
            return -1
        ctypes.memmove(value, found + b"\0", len(found) + 1)
        return 0


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", MacLibrary)
    monkeypatch.setattr(platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))


def shared() -> str:
    return to_share(BenchReport("http://localhost:1", "m", 3), resolve_model(None))


@pytest.mark.usefixtures("mac")
def test_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (chip.chip_name(), chip.system_build()) == ("Apple M4 Max", "25B78")
    monkeypatch.setattr("mlxoss.cli.bench.share.machine_bytes", lambda: 64 << 30)
    assert "- Apple M4 Max, 64 GiB, macOS 26.1" in shared()
    for name in tuple(MAC):
        monkeypatch.delitem(MAC, name)
    assert (chip.chip_name(), chip.system_build()) == (platform.machine(), platform.release())


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("", ("", "", ""), ""))
    assert chip.chip_name()
    assert chip.system_build() == platform.release()
    assert f"- {chip.chip_name()}, " in shared()
    assert f"GiB, {platform.system()}" in shared()
