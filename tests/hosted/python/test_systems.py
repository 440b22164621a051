"""What is done on macOS alone, and what on Linux alone."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.process import make_command
from mlxoss.hosted.python.use import ProcessUse, find_breach, read_use
from mlxoss.hosted.python.worker.proof import list_tries


def test_addresses_are_bounded_where_the_kernel_counts_them() -> None:
    limits = Limits()
    assert limits.of_the_kernel("linux") == {
        **limits.of_the_kernel("darwin"),
        "RLIMIT_AS": limits.addresses,
    }
    assert limits.of_the_kernel("darwin")["RLIMIT_FSIZE"] == limits.file


def test_on_a_mac_a_worker_begins_inside_the_sandbox(tmp_path: Path) -> None:
    program = Path("/usr/bin/python3")
    plain = make_command(program, [tmp_path], tmp_path, "linux")
    assert plain[:4] == ["/usr/bin/python3", "-I", "-S", "-B"]
    inside = make_command(program, [tmp_path], tmp_path, "darwin")
    assert inside[:2] == ["/usr/bin/sandbox-exec", "-p"]
    assert inside[2].startswith("; the language\n(version 1)\n")
    assert inside[3:] == plain


def test_what_seatbelt_s_default_leaves_open_is_tried_on_a_mac() -> None:
    on_linux, on_mac = (
        [what for what, _ in list_tries("/outside", 1, system)] for system in ("linux", "darwin")
    )
    assert "signal another process" in on_linux
    assert on_mac == [
        *on_linux,
        "read the daemon's variables",
        "change a file that it may only read",
    ]


CONFINED = """
import os, resource, sys
from mlxoss.hosted.python.worker.confine import confine
limits = {"RLIMIT_NOFILE": 100, "RLIMIT_CORE": 0}
folders = {name: [] for name in ("readable", "own", "devices")}
confine({"limits": limits, "parent": os.getppid(), **folders}, sys.argv[1])
print(resource.getrlimit(resource.RLIMIT_NOFILE))
try:
    print(len(open("/etc/passwd").read()) > 0)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="Linux's sandbox is tried beside it")
@pytest.mark.parametrize(("system", "says"), [("darwin", "True"), ("linux", "Permission denied")])
def test_a_worker_shuts_itself_in_on_linux_alone(
    system: str, says: str, refused: str | None
) -> None:
    if refused:
        pytest.skip(refused)
    words = [sys.executable, "-c", CONFINED, system]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(100, 100)", says]


def test_what_a_process_uses_is_told() -> None:
    used = read_use(os.getpid())
    assert used is not None
    assert used.cpu_s > 0
    assert used.threads >= 1
    assert used.memory > 1 << 20
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert read_use(process.pid) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="there is libproc")
def test_without_libproc_nothing_is_told() -> None:
    assert read_use(os.getpid(), "darwin") is None


def test_the_words_of_macos_are_where_they_are_read() -> None:
    """``proc_taskinfo`` and ``rusage_info_v2``, field by field (``sys/proc_info.h``)."""

    class TaskInfo(ctypes.Structure):
        _fields_ = (
            ("sizes", ctypes.c_uint64 * 2),
            ("total_user", ctypes.c_uint64),
            ("total_system", ctypes.c_uint64),
            ("threads_user", ctypes.c_uint64),
            ("threads_system", ctypes.c_uint64),
            ("policy_to_csw", ctypes.c_int32 * 9),
            ("threadnum", ctypes.c_int32),
            ("numrunning", ctypes.c_int32),
            ("priority", ctypes.c_int32),
        )

    class RusageV2(ctypes.Structure):
        _fields_ = (
            ("uuid", ctypes.c_uint8 * 16),
            ("v0", ctypes.c_uint64 * 10),
            ("child", ctypes.c_uint64 * 6),
            ("diskio_bytesread", ctypes.c_uint64),
            ("diskio_byteswritten", ctypes.c_uint64),
        )

    from mlxoss.hosted.python import use

    assert ctypes.sizeof(TaskInfo) == use._TASK_BYTES
    assert TaskInfo.total_user.offset == 8 * use._TASK_USER
    assert TaskInfo.total_system.offset == 8 * use._TASK_SYSTEM
    assert TaskInfo.threadnum.offset == 4 * use._TASK_THREADS
    assert ctypes.sizeof(RusageV2) == 8 * use._RUSAGE_V2_WORDS
    assert RusageV2.diskio_byteswritten.offset == 8 * use._WRITTEN


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (ProcessUse(1.0, 1, 0, 0), None),
        (ProcessUse(250.0, 1, 0, 0), "240 s of processor time"),
        (ProcessUse(1.0, 65, 0, 0), "64 threads"),
        (ProcessUse(1.0, 1, 600 << 20, 0), "512 MB to the disk"),
        (ProcessUse(1.0, 1, 0, 3 << 30), "2048 MB of memory"),
    ],
)
def test_what_is_too_much(now: ProcessUse, says: str | None) -> None:
    found = find_breach(now, ProcessUse(1.0, 1, 0, 0), Limits())
    assert found == says or (says is not None and found is not None and says in found)
