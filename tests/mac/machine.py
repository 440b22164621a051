"""What a report says of its machine: systems, chip, memory and versions; nothing of its owner."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

_PACKAGES = ("mlxoss", "mlx", "mlx-metal", "mlx-lm", "llguidance", "sanic")


def main() -> None:
    """Print a table in Markdown."""
    sys.stdout.write("| | |\n|---|---|\n")
    for name, value in facts():
        sys.stdout.write(f"| {name} | {value} |\n")


def facts() -> Iterator[tuple[str, str]]:
    """Names and values; what this machine cannot tell is left out."""
    yield "system", _system()
    told = {
        "model": ("sysctl", "-n", "hw.model"),
        "chip": ("sysctl", "-n", "machdep.cpu.brand_string"),
        "memory, bytes": ("sysctl", "-n", "hw.memsize"),
        "GPU's limit set, MB": ("sysctl", "-n", "iogpu.wired_limit_mb"),
        "a virtual machine": ("sysctl", "-n", "kern.hv_vmm_present"),
        "power": ("pmset", "-g", "ps"),
    }
    for name, command in told.items():
        if value := _first_line(*command):
            yield name, value
    seen = platform.mac_ver()[0] or platform.release()
    yield "Python", f"{platform.python_version()}, {platform.machine()}, sees system {seen}"
    for package in _PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _system() -> str:
    version, build = (
        _first_line("sw_vers", "-productVersion"),
        _first_line("sw_vers", "-buildVersion"),
    )
    return f"macOS {version} ({build})" if version else f"{platform.system()} {platform.release()}"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return lines[0].strip() if lines else ""


if __name__ == "__main__":
    main()
