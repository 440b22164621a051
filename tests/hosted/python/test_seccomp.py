"""The filter of system calls, judged by a machine of ours for both processors."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from mlxoss.hosted.python.worker import syscalls
from mlxoss.hosted.python.worker.seccomp import MACHINES, Step, make_filter

PID = 4711
KILL, ALLOW = 0x80000000, 0x7FFF0000
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
TABLES = (
    syscalls.ALLOWED,
    syscalls.REFUSED,
    syscalls.PRETENDED,
    syscalls.UNSUPPORTED,
    syscalls.BY_ARGUMENT,
)

each_machine = pytest.mark.parametrize("machine", MACHINES)


def run(steps: list[Step], data: bytes) -> int:
    """What the kernel's BPF machine would answer (``Documentation/networking/filter.rst``)."""
    held = place = 0
    while True:
        code, if_true, if_false, constant = steps[place]
        place += 1
        match code:
            case 0x20:
                held = struct.unpack_from("<I", data, constant)[0]
            case 0x15:
                place += if_true if held == constant else if_false
            case 0x45:
                place += if_true if held & constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def ask(machine: str, name: str, *arguments: int) -> int | str:
    """``"allowed"``, ``"killed"`` or the errno that the call gets."""
    column, arch = MACHINES[machine]
    table = {key: numbers for each in TABLES for key, numbers in each.items()}
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", table[name][column], arch, 0, *padded)
    return words(run(make_filter(machine, PID), data))


def words(answer: int) -> int | str:
    if answer in (KILL, ALLOW):
        return "killed" if answer == KILL else "allowed"
    assert answer >> 16 == 5
    return answer & 0xFFFF


@each_machine
@pytest.mark.parametrize(
    ("table", "answer"),
    [
        (syscalls.ALLOWED, "allowed"),
        (syscalls.REFUSED, errno.EPERM),
        (syscalls.PRETENDED, 0),
        (syscalls.UNSUPPORTED, errno.ENOTSUP),
    ],
)
def test_each_call_has_its_answer(
    machine: str, table: dict[str, tuple[int, int]], answer: int | str
) -> None:
    column, _ = MACHINES[machine]
    for name, numbers in table.items():
        if numbers[column] >= 0:
            assert ask(machine, name) == answer, name


@each_machine
@pytest.mark.parametrize(
    ("name", "arguments", "is_allowed"),
    [
        ("clone", (0x3D0F00,), True),  # what a thread of glibc is
        ("clone", (17,), False),
        ("clone", (0x4111,), False),
        ("clone", (0x3D0B00,), False),  # a thread with files of its own
        ("getsockopt", (3, 1, 4), True),  # SO_ERROR
        ("getsockopt", (3, 1, 77), False),  # SO_PEERPIDFD
        ("setsockopt", (3, 1, 7), True),  # SO_SNDBUF
        ("setsockopt", (3, 1, 26), False),  # SO_ATTACH_FILTER
        ("setsockopt", (3, 1, 50), False),  # SO_ATTACH_BPF
        ("close_range", (3, 9, 0), True),
        ("close_range", (3, 9, 4), True),
        ("close_range", (3, 9, 2), False),  # CLOSE_RANGE_UNSHARE
        ("kill", (PID, 9), True),
        ("kill", (0, 9), False),
        ("kill", (2**64 - 1, 9), False),
        ("kill", (PID + (1 << 32), 9), True),  # the kernel takes its low half too
        ("tgkill", (PID, 1, 9), True),
        ("tgkill", (1, PID, 9), False),
        ("prlimit64", (0, 7), True),
        ("prlimit64", (1, 7), False),
        ("prctl", (15,), True),
        ("prctl", (1, 0), False),  # PR_SET_PDEATHSIG
        ("prctl", (4, 0), False),  # PR_SET_DUMPABLE
        ("fcntl", (3, 4, 0x800), True),
        ("fcntl", (3, 8, 1), False),  # F_SETOWN
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("socketpair", (1, 1, 0), True),
        ("socketpair", (2, 1, 0), False),
        ("socketpair", (16, 3, 0), False),  # netlink
        ("sendto", (3, 1, 1, 0, 0, 0), True),
        ("sendto", (3, 1, 1, 0, 0x7F0000001000, 110), False),
        ("sendto", (3, 1, 1, 0, 1 << 32, 110), False),
    ],
)
def test_some_depend_on_their_arguments(
    machine: str, name: str, arguments: tuple[int, ...], is_allowed: bool
) -> None:
    assert ask(machine, name, *arguments) == ("allowed" if is_allowed else errno.EPERM)


@each_machine
def test_what_is_not_named_is_not_there(machine: str) -> None:
    column, arch = MACHINES[machine]
    named = {numbers[column] for table in TABLES for numbers in table.values()}
    steps = make_filter(machine, PID)
    for number in {*range(1000), *(0x40000000 | each for each in range(600))} - named:
        data = struct.pack("<IIQ6Q", number, arch, 0, *[0] * 6)
        assert words(run(steps, data)) == errno.ENOSYS, number


@each_machine
def test_calls_of_other_machines_end_the_process(machine: str) -> None:
    for arch in (0x40000003, 0x40000028, *(each for _, each in MACHINES.values())):
        if arch != MACHINES[machine][1]:
            data = struct.pack("<IIQ6Q", 0, arch, 0, *[0] * 6)
            assert words(run(make_filter(machine, PID), data)) == "killed"


@each_machine
def test_it_is_short_enough_for_the_kernel_and_no_jump_leaves_it(machine: str) -> None:
    steps = make_filter(machine, PID)
    assert len(steps) < 4096  # BPF_MAXINSNS
    for place, (_, if_true, if_false, _) in enumerate(steps):
        assert place + 1 + max(if_true, if_false) < len(steps) or (if_true, if_false) == (0, 0)
        assert max(if_true, if_false) < 256


@each_machine
def test_the_numbers_are_the_kernels(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    found = re.findall(
        r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", HEADERS[machine].read_text(encoding="utf-8")
    )
    known = {name: int(number) for name, number in found}
    if machine == "aarch64":
        known["newfstatat"] = known["fstatat"]  # named by a macro there
    column, _ = MACHINES[machine]
    newer = {"fchmodat2"}
    for table in TABLES:
        for name, numbers in table.items():
            assert numbers[column] == known.get(name, -1) or name in newer, name


def test_no_call_stands_in_two_tables() -> None:
    names = [name for table in TABLES for name in table]
    assert len(names) == len(set(names))
    for column in 0, 1:
        numbers = [each[column] for table in TABLES for each in table.values() if each[column] >= 0]
        assert len(numbers) == len(set(numbers))
