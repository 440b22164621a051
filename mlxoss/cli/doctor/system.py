"""What ``mlxoss doctor`` says of the machine itself: system, GPU, MLX's build, wiring."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from mlxoss.cli.device import Device, ask_device
from mlxoss.cli.memory import SYSCTL
from mlxoss.engine.wiring import choose_wiring
from mlxoss.errors import ServiceError
from mlxoss.findings import GB, Check, Level
from mlxoss.service.subprocess import RunCommand, run_command
from mlxoss.system.memory import machine_bytes

OLDEST_MACOS = 14
_SW_VERS = "/usr/bin/sw_vers"
_WHEEL = "mlx-metal"
_WHEEL_MACOS = re.compile(r"^Tag: .*-macosx_(\d+)_\d+_", re.MULTILINE)
_CHIP = re.compile(r"Apple M(\d+)")
_NEWEST_WHEEL = (26, 2)
_FIRST_CHIP = 5
"""From M5 on a GPU multiplies matrices by units that only MLX's wheel for macOS 26 uses."""


@dataclass(frozen=True, slots=True)
class System:
    """This machine. ``macos`` and ``chip`` are empty where it is no Mac, ``device`` is ``None``."""

    name: str
    machine: str
    macos: str = ""
    chip: str = ""
    device: Device | None = None
    total_bytes: int = 0

    def limit_bytes(self, told: int | None) -> int | None:
        """What a model may take; a running service has ``told`` what it found at its start."""
        if self.device is None:
            return self.total_bytes
        return told or self.device.limit_bytes


def read_system(name: str = sys.platform, run: RunCommand = run_command) -> System:
    """Ask the system, and on a Mac MLX."""
    total, machine = machine_bytes(), platform.machine()
    if name != "darwin":
        return System(name, machine, total_bytes=total)
    # Pythons that were built before macOS 26 take it for 16 (CPython's platform.mac_ver).
    macos = _say(run, _SW_VERS, "-productVersion") or platform.mac_ver()[0]
    chip = _say(run, SYSCTL, "-n", "machdep.cpu.brand_string")
    return System(name, machine, macos, chip, ask_device(run), total)


def _say(run: RunCommand, *command: str) -> str:
    try:
        done = run(command, timeout_s=5.0)
    except ServiceError:
        return ""
    return done.out.strip() if done.code == 0 else ""


def check_system(system: System) -> Iterator[Check]:
    """Whether this is a Mac that MLX runs on, and its GPU can be used."""
    if system.device is None:
        where = f"{system.name} on {system.machine}"
        yield Check("system", Level.SKIP, f"{where}: macOS is what mlxoss is made for")
        yield Check("metal", Level.SKIP, "there is Metal on macOS only")
        return
    fits = system.machine == "arm64" and _version(system.macos) >= (OLDEST_MACOS,)
    remedy = None if fits else f"MLX needs Apple Silicon and macOS {OLDEST_MACOS} or newer."
    level = Level.OK if fits else Level.FAIL
    yield Check("system", level, f"macOS {system.macos} on {system.machine}", remedy)
    yield _check_metal(system.device)
    yield check_wheel(system, wheel_macos())


def _check_metal(device: Device) -> Check:
    if device.problem:
        return Check("metal", Level.FAIL, device.problem, "Install mlxoss anew.")
    if not device.has_device or device.limit_bytes is None:
        remedy = "A virtual machine without a GPU cannot run a model."
        return Check("metal", Level.FAIL, "MLX finds no Metal device", remedy)
    return Check("metal", Level.OK, f"the GPU may hold {device.limit_bytes / GB:.1f} GB")


def wheel_macos() -> int | None:
    """The macOS that the installed MLX was built for; ``None`` if that cannot be told."""
    try:
        found = _WHEEL_MACOS.search(distribution(_WHEEL).read_text("WHEEL") or "")
    except PackageNotFoundError:
        return None
    return int(found[1]) if found else None


def check_wheel(system: System, built_for: int | None) -> Check:
    """Whether MLX is the build that uses all of this GPU.

    Where Python takes macOS 26 for 16, pip takes the build for an older one.
    """
    name = "mlx build"
    if built_for is None:
        return Check(name, Level.SKIP, f"{_WHEEL} is not installed as a wheel")
    detail = f"for macOS {built_for}, on macOS {system.macos}"
    chip = _CHIP.match(system.chip)
    gains = chip is not None and int(chip[1]) >= _FIRST_CHIP
    if _version(system.macos) < _NEWEST_WHEEL or built_for >= _NEWEST_WHEEL[0] or not gains:
        return Check(name, Level.OK, detail)
    version = distribution(_WHEEL).version
    remedy = (
        f"SYSTEM_VERSION_COMPAT=0 {sys.executable} -m pip install --force-reinstall --no-deps "
        f"mlx=={version} {_WHEEL}=={version}"
    )
    return Check(name, Level.WARN, f"{detail}: prompts take longer on {system.chip}", remedy)


def check_wired(setting: str, system: System, told: int | None, let_go: int = 0) -> Check:
    """Whether the weights are wired and why; ``told`` is what a running service has wired, and
    ``let_go`` what it will once a request comes."""
    name, wiring = "wired", choose_wiring(setting, system.total_bytes, system.macos)
    detail = f"the weights are {'' if wiring.wired else 'not '}wired: {wiring.why}"
    if not system.macos:
        if setting != "weights":
            return Check(name, Level.SKIP, detail)
        return Check(name, Level.WARN, detail, "mlxoss config set wired auto")
    if let_go and wiring.wired:
        detail += f" ({let_go / GB:.1f} GB; let go while idle, until the next request)"
        return Check(name, Level.OK, detail)
    if told is not None and bool(told) != wiring.wired:
        detail += f"; but the service has wired {told / GB:.1f} GB"
        return Check(name, Level.WARN, detail, "mlxoss restart")
    return Check(name, Level.OK, f"{detail} ({told / GB:.1f} GB)" if told else detail)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
