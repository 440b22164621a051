"""What the system tells of memory, on both systems; a Mac's C library has a stand-in."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mlxoss.system.memory import held_bytes, machine_bytes, read_sysctl

MAC = {"hw.memsize": 34_359_738_368, "iogpu.wired_limit_mb": 13_500}


class RusageInfoV0(ctypes.Structure):
    """``rusage_info_v0`` of macOS's ``sys/resource.h``."""

    _fields_ = (
        ("ri_uuid", ctypes.c_uint8 * 16),
        ("ri_user_time", ctypes.c_uint64),
        ("ri_system_time", ctypes.c_uint64),
        ("ri_pkg_idle_wkups", ctypes.c_uint64),
        ("ri_interrupt_wkups", ctypes.c_uint64),
        ("ri_pageins", ctypes.c_uint64),
        ("ri_wired_size", ctypes.c_uint64),
        ("ri_resident_size", ctypes.c_uint64),
        ("ri_phys_footprint", ctypes.c_uint64),
        ("ri_proc_start_abstime", ctypes.c_uint64),
        ("ri_proc_exit_abstime", ctypes.c_uint64),
    )


class MacLibrary:
    """The two calls of a Mac's C library, for one process."""

    def __init__(self, path: str | None) -> None:
        assert path in (None, "/usr/lib/libproc.dylib")

    @staticmethod
    def proc_pid_rusage(pid: int, flavour: int, buffer: Any) -> int:
        if pid != os.getpid() or flavour != 0:
            return -1
        info = RusageInfoV0(ri_resident_size=105_000_000, ri_phys_footprint=13_000_000_000)
        ctypes.memmove(buffer, ctypes.byref(info), ctypes.sizeof(info))
        return 0

    @staticmethod
    def sysctlbyname(name: bytes, value: Any, size: Any, new: None, length: Any) -> int:
        if name.decode() not in MAC:
            return -1
        number = ctypes.c_uint64(MAC[name.decode()])
        ctypes.memmove(value, ctypes.byref(number), 8)
        return 0


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", MacLibrary)


@pytest.mark.usefixtures("mac")
def test_on_a_mac_the_footprint_counts_and_not_what_is_resident() -> None:
    assert held_bytes(os.getpid()) == 13_000_000_000
    assert held_bytes(1) is None  # another user's


def test_elsewhere_it_is_what_is_resident() -> None:
    if sys.platform != "linux":
        pytest.skip("of Linux")
    held = held_bytes(os.getpid())
    assert held is not None
    block = bytearray(64_000_000)
    grown = held_bytes(os.getpid())
    assert grown is not None
    assert grown - held > len(block) * 0.9
    assert held_bytes(2**31 - 1) is None


def _lack(error: type[Exception]) -> Callable[[str], int]:
    def sysconf(name: str) -> int:
        raise error(f"unrecognized configuration name {name}")

    return sysconf


def test_the_machine_s_memory() -> None:
    assert machine_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_python_that_does_not_know_it_asks_the_kernel(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(os, "sysconf", _lack(error))
    assert machine_bytes() == 34_359_738_368


@pytest.mark.usefixtures("mac")
def test_the_kernel_s_numbers() -> None:
    assert read_sysctl("iogpu.wired_limit_mb") == 13_500
    assert read_sysctl("no.such") == 0


def test_elsewhere_the_kernel_has_no_such_numbers() -> None:
    if sys.platform != "linux":
        pytest.skip("of Linux")
    assert read_sysctl("hw.memsize") == 0
