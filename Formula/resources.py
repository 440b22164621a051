"""Writes the formula's resources: the wheels that ``uv.lock`` pins, each with its hash.

    python Formula/resources.py            rewrite Formula/mlxoss.rb
    python Formula/resources.py --check    fail if that would change it

For each package that the lock wants on an arm64 Mac, the wheel is taken that pip would
take; where that depends on the version of macOS, one for each.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[1]
FORMULA = ROOT / "Formula" / "mlxoss.rb"
PROJECT = "mlxoss"
PYTHON = (3, 14)
MACOS = {"on_sonoma": 14, "on_sequoia": 15, "on_tahoe :or_newer": 26}
"""Homebrew's blocks by version of macOS; the first is the oldest that MLX has wheels for."""

BEGIN = "  # Made from uv.lock by Formula/resources.py: begin\n"
END = "  # Made from uv.lock by Formula/resources.py: end\n"
TOOLS = re.compile(r"^    build_tools = %w\[.*\]$", re.MULTILINE)

Package = Mapping[str, Any]


@dataclass(frozen=True)
class Wheel:
    """One file: its address and SHA-256."""

    url: str
    sha256: str


class Lock:
    """The lock's packages, as an arm64 Mac sees them."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._packages: dict[str, list[Package]] = {}
        for package in data["package"]:
            self._packages.setdefault(package["name"], []).append(package)
        version = ".".join(map(str, PYTHON))
        self._environment = {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": "arm64",
            "platform_python_implementation": "CPython",
            "platform_system": "Darwin",
            "python_full_version": f"{version}.0",
            "python_version": version,
            "sys_platform": "darwin",
        }

    def runtime(self) -> dict[str, Package]:
        """What running needs, by name."""
        return self._closure(self._project()["dependencies"])

    def build(self) -> dict[str, Package]:
        """What building the project's own wheel needs, by name."""
        return self._closure(self._project()["dev-dependencies"]["build"])

    def _project(self) -> Package:
        return self._packages[PROJECT][0]

    def _closure(self, first: list[Package]) -> dict[str, Package]:
        found: dict[str, Package] = {}
        seen: set[tuple[str, str]] = set()
        waiting = list(first)
        while waiting:
            wanted = waiting.pop()
            if not self._applies(wanted):
                continue
            package = self._pick(wanted)
            for extra in ("", *wanted.get("extra", ())):
                if (wanted["name"], extra) in seen:
                    continue
                seen.add((wanted["name"], extra))
                found[wanted["name"]] = package
                optional = package.get("optional-dependencies", {})
                waiting += optional[extra] if extra else package.get("dependencies", [])
        return found

    def _applies(self, wanted: Package) -> bool:
        return "marker" not in wanted or Marker(wanted["marker"]).evaluate(self._environment)

    def _pick(self, wanted: Package) -> Package:
        """A package may be locked twice for different Pythons; the dependency says which."""
        held = self._packages[wanted["name"]]
        version = wanted.get("version")
        (package,) = [one for one in held if version in (None, one["version"])]
        return package


def wheel_for(package: Package, macos: int) -> Wheel:
    """Return the wheel that pip prefers there; raises ``SystemExit`` if there is none."""
    ranks = {tag: rank for rank, tag in enumerate(_tags(macos))}
    best: tuple[int, Package] | None = None
    for wheel in package.get("wheels", ()):
        tags = parse_wheel_filename(_file_name(wheel["url"]))[3]
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None and (best is None or rank < best[0]):
            best = (rank, wheel)
    if best is None:
        raise SystemExit(f"{package['name']} has no wheel for macOS {macos} and Python {PYTHON}")
    return Wheel(best[1]["url"], best[1]["hash"].removeprefix("sha256:"))


def _tags(macos: int) -> Iterator[Tag]:
    platforms = list(mac_platforms((macos, 0), "arm64"))
    yield from cpython_tags(PYTHON, platforms=platforms)
    yield from compatible_tags(PYTHON, platforms=platforms)


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]


def render_resource(package: Package) -> str:
    """Return one package's block."""
    wheels = {block: wheel_for(package, macos) for block, macos in MACOS.items()}
    lines = [f'  resource "{package["name"]}" do']
    if len(set(wheels.values())) == 1:
        lines += _lines(next(iter(wheels.values())), "    ")
    else:
        for number, (block, wheel) in enumerate(wheels.items()):
            lines += [""] if number else []
            lines += [f"    {block} do", *_lines(wheel, "      "), "    end"]
    return "\n".join([*lines, "  end"])


def _lines(wheel: Wheel, indent: str) -> list[str]:
    return [
        f'{indent}url "{wheel.url}",',
        f"{indent}    using: :nounzip",
        f'{indent}sha256 "{wheel.sha256}"',
    ]


def render_resources(lock: Lock) -> str:
    """Return all blocks, sorted by name, as they stand between the two marks."""
    packages = lock.runtime() | lock.build()
    blocks = [render_resource(packages[name]) for name in sorted(packages)]
    return BEGIN + "\n\n".join(blocks) + "\n" + END


def renew(formula: str, lock: Lock) -> str:
    """Return the formula's text with its resources and its list of build tools made anew."""
    before, _, rest = formula.partition(BEGIN)
    after = rest.partition(END)[2]
    tools = " ".join(sorted(lock.build().keys() - lock.runtime().keys()))
    renewed = before + render_resources(lock) + after
    return TOOLS.sub(f"    build_tools = %w[{tools}]", renewed)


def main() -> None:
    """Rewrite the formula, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if out of date")
    check: bool = parser.parse_args().check
    lock = Lock(tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8")))
    held = FORMULA.read_text(encoding="utf-8")
    renewed = renew(held, lock)
    if check and held != renewed:
        sys.exit("Formula/mlxoss.rb does not match uv.lock: run `python Formula/resources.py`")
    if held != renewed:
        FORMULA.write_text(renewed, encoding="utf-8")


if __name__ == "__main__":
    main()
