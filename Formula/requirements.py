"""What mlxoss runs on and is built with, and what cells of the tool python may import, by hashes.

``Formula/requirements.txt`` and ``mlxoss/hosted/python/requirements.txt``, two environments:

    python Formula/requirements.py              pin what pyproject.toml wants now, by uv
    python Formula/requirements.py --upgrade    the same with the newest of everything
    python Formula/requirements.py --check      fail where the two disagree; asks no registry
    python Formula/requirements.py --installed  fail where this environment has other versions

A check asks whether the file is whole and right for ``pyproject.toml``, never whether it is the
newest: what others release must not make it fail.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "pyproject.toml"
FILE = ROOT / "Formula" / "requirements.txt"
CELLS = ROOT / "mlxoss" / "hosted" / "python" / "requirements.txt"
COMMAND = "python Formula/requirements.py"
OLDEST_PYTHON = "3.11"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (
    ("darwin", "Darwin", "arm64"),
    ("linux", "Linux", "x86_64"),
    ("linux", "Linux", "aarch64"),
)
"""Where the file must hold: ``sys_platform``, ``platform_system``, ``platform_machine``."""

_PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))?"
    r"(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)

Environment = dict[str, str]


@dataclass(frozen=True)
class Pin:
    """One version of one package, and where it is meant for."""

    name: str
    version: str
    marker: Marker | None

    def applies(self, environment: Environment) -> bool:
        """Whether pip would take it there."""
        return self.marker is None or self.marker.evaluate(environment)


def read_pins(text: str) -> list[Pin]:
    """Return the pins in the file's order; raises ``ValueError`` at anything else in it.

    An option, an address, a version that is not exact, a line without a hash: none is a pin.
    """
    body = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
    pins: list[Pin] = []
    end = 0
    while end < len(body):
        match = _PIN.match(body, end)
        if match is None:
            raise ValueError(f"{body[end:].partition(chr(10))[0]!r} is no pinned package")
        marker = match["marker"]
        pins.append(Pin(match["name"], match["version"], Marker(marker) if marker else None))
        end = match.end()
    return pins


def environments() -> Iterator[Environment]:
    """Yield every environment that the file must hold for, as markers see it."""
    for python, (platform, system, machine) in product(PYTHONS, PLATFORMS):
        yield {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_system": system,
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": platform,
        }


def read_wanted(text: str) -> list[Requirement]:
    """Return what ``pyproject.toml`` asks for to run and to be built."""
    project = tomllib.loads(text)
    lines = [*project["project"]["dependencies"], *project["dependency-groups"]["build"]]
    return [Requirement(line) for line in lines]


def read_cells(text: str) -> list[Requirement]:
    """Return what ``pyproject.toml`` asks for in cells of the tool python."""
    return [Requirement(line) for line in tomllib.loads(text)["dependency-groups"]["cells"]]


def find_faults(pins: list[Pin], wanted: list[Requirement]) -> list[str]:
    """Return what is missing, too much or of a wrong version, in words; sorted, none twice.

    What a package needs itself is read from the copy that is installed here, where that is of
    the pinned version; of others only the version is judged, and nothing is called unneeded.
    """
    faults: set[str] = set()
    reached: set[Pin] = set()
    whole = True
    for environment in environments():
        walk = _Walk(pins, environment)
        walk.follow(wanted, "")
        faults |= walk.faults
        reached |= walk.reached
        whole = whole and walk.whole
    names = [pin.name for pin in pins]
    if names != sorted(names):
        faults.add("the packages are not sorted by name")
    if whole:
        meant = {pin for pin in pins for where in environments() if pin.applies(where)}
        faults |= {f"{pin.name}=={pin.version}: nothing needs it" for pin in meant - reached}
    return sorted(faults)


class _Walk:
    """The packages that one environment needs, from the first to the last."""

    def __init__(self, pins: list[Pin], environment: Environment) -> None:
        self._environment = environment
        self._pins: dict[str, list[Pin]] = {}
        for pin in pins:
            if pin.applies(environment):
                self._pins.setdefault(pin.name, []).append(pin)
        self._seen: set[tuple[str, str]] = set()
        self.faults: set[str] = set()
        self.reached: set[Pin] = set()
        self.whole = True

    def follow(self, wanted: list[Requirement], extra: str) -> None:
        """Judge what is wanted there for ``extra`` ("" is none), and what that needs in turn."""
        for requirement in wanted:
            pin = self._find(requirement) if self._applies(requirement, extra) else None
            if pin is None:
                continue
            self.reached.add(pin)
            for chosen in {"", *requirement.extras}:
                if (pin.name, chosen) not in self._seen:
                    self._seen.add((pin.name, chosen))
                    self.follow(self._needs(pin), chosen)

    def _applies(self, requirement: Requirement, extra: str) -> bool:
        where = {**self._environment, "extra": extra}
        return requirement.marker is None or requirement.marker.evaluate(where)

    def _find(self, requirement: Requirement) -> Pin | None:
        held = self._pins.get(canonicalize_name(requirement.name), [])
        place = "{sys_platform} {platform_machine}, Python {python_version}".format(
            **self._environment
        )
        if len(held) != 1:
            found = " and ".join(pin.version for pin in held) or "no version"
            self.faults.add(f"{requirement.name}: {found} on {place}")
            return None
        if not requirement.specifier.contains(held[0].version, prereleases=True):
            self.faults.add(f"{requirement}: pinned is {held[0].version} on {place}")
        return held[0]

    def _needs(self, pin: Pin) -> list[Requirement]:
        try:
            found = metadata.distribution(pin.name)
        except metadata.PackageNotFoundError:
            found = None
        if found is not None and found.version == pin.version:
            return [Requirement(line) for line in found.requires or []]
        # What cannot be installed here, like another system's kernels, needs nothing itself.
        self.whole = self.whole and not pin.applies(_here())
        return []


def _here() -> Environment:
    return {name: str(value) for name, value in default_environment().items()}


def find_other_versions(pins: list[Pin]) -> list[str]:
    """Return where this environment has not what is pinned for it, in words."""
    others = []
    for pin in pins:
        if not pin.applies(_here()):
            continue
        try:
            held = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            held = "not installed"
        if held != pin.version:
            others.append(f"{pin.name}: pinned is {pin.version}, here is {held}")
    return others


def write(*, upgrade: bool) -> None:
    """Have uv write both files; it keeps what is pinned already unless told to upgrade."""
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is not on the PATH: pip install uv")
    for file, wanted in (
        (FILE, ["pyproject.toml", "--group", "build"]),
        (CELLS, ["--group", "cells"]),
    ):
        words = [uv, "pip", "compile", *wanted, "--universal", "--python-version", OLDEST_PYTHON]
        words += ["--only-binary", ":all:", "--generate-hashes", "--no-annotate", "--quiet"]
        words += ["--custom-compile-command", COMMAND, "--output-file", str(file.relative_to(ROOT))]
        subprocess.run([*words, "--upgrade"] if upgrade else words, cwd=ROOT, check=True)


def main() -> None:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="pin the newest of everything")
    parser.add_argument("--check", action="store_true", help="change nothing, judge the file")
    parser.add_argument("--installed", action="store_true", help="judge this environment by it")
    chosen = parser.parse_args()
    if not (chosen.check or chosen.installed):
        write(upgrade=chosen.upgrade)
    project = PROJECT.read_text(encoding="utf-8")
    pins = read_pins(FILE.read_text(encoding="utf-8"))
    if chosen.installed:
        held = {FILE: find_other_versions(pins)}
    else:
        cells = read_pins(CELLS.read_text(encoding="utf-8"))
        held = {
            FILE: find_faults(pins, read_wanted(project)),
            CELLS: find_faults(cells, read_cells(project)),
        }
    for file, faults in held.items():
        if faults:
            sys.exit("\n".join([f"{file.relative_to(ROOT)} does not hold:", *faults]))


if __name__ == "__main__":
    main()
