"""What is installed: pinned, whole, with hashes, and right for ``pyproject.toml``."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from Formula.requirements import (
    FILE,
    PROJECT,
    Pin,
    environments,
    find_faults,
    find_other_versions,
    read_pins,
    read_wanted,
)

TEXT = FILE.read_text(encoding="utf-8")
PINS = read_pins(TEXT)
WANTED = read_wanted(PROJECT.read_text(encoding="utf-8"))
HASH = f"    --hash=sha256:{'0' * 64}"


def test_the_file_holds() -> None:
    assert find_faults(PINS, WANTED) == [], "run: python Formula/requirements.py"


def test_it_has_everything_and_the_right_mlx_for_each_system() -> None:
    for environment in environments():
        names = {pin.name for pin in PINS if pin.applies(environment)}
        assert {"mlx", "mlx-lm", "openai-harmony", "sanic", "hatchling"} <= names
        assert "mlxoss" not in names
        kernels = {name for name in names if name.startswith("mlx-")} - {"mlx-lm"}
        assert kernels == (
            {"mlx-metal"} if environment["sys_platform"] == "darwin" else {"mlx-cpu"}
        )


def test_every_package_has_the_hashes_of_its_files() -> None:
    assert len(re.findall(r"^[a-z0-9-]+==", TEXT, re.MULTILINE)) == len(PINS)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", TEXT)) == TEXT.count("--hash=")
    assert TEXT.count("--hash=") >= len(PINS)


@pytest.mark.parametrize(
    "line",
    [
        "click>=8 \\\n" + HASH,
        "click \\\n" + HASH,
        "click==8.5.1",
        "click==8.5.1 \\\n    --hash=md5:00",
        "click @ https://example.org/click.whl \\\n" + HASH,
        "--index-url https://example.org/simple",
        "-e .",
    ],
)
def test_nothing_else_is_taken_for_a_pin(line: str) -> None:
    assert read_pins(f"# by uv\na==1 \\\n{HASH}\n") == [Pin("a", "1", None)]
    with pytest.raises(ValueError, match="is no pinned package"):
        read_pins(f"a==1 \\\n{HASH}\n{line}\n")


def installed(name: str) -> Pin:
    return Pin(name, metadata.version(name), None)


def test_a_package_that_another_needs_is_missed() -> None:
    assert find_faults([installed("anyio"), installed("idna")], [Requirement("anyio")]) != []
    (fault, *others) = find_faults([installed("jsonschema")], [Requirement("jsonschema")])
    assert "no version on darwin arm64, Python 3.11" in fault
    assert others


def test_a_wrong_version_is_told() -> None:
    faults = find_faults([installed("h11")], [Requirement("h11<0.1")])
    assert faults[0].startswith("h11<0.1: pinned is ")
    assert len(faults) == len(list(environments()))


def test_what_nothing_needs_is_told() -> None:
    pins = [Pin("aaa", "1", None), installed("h11")]
    assert find_faults(pins, [Requirement("h11")]) == ["aaa==1: nothing needs it"]


def test_what_is_for_one_system_is_wanted_there_alone() -> None:
    there = Pin("h11", metadata.version("h11"), Marker("sys_platform == 'darwin'"))
    wanted = [Requirement("h11; sys_platform == 'darwin'")]
    assert find_faults([there], wanted) == []
    assert find_faults([there], [Requirement("h11")]) == [
        f"h11: no version on linux {machine}, Python 3.{minor}"
        for machine in ("aarch64", "x86_64")
        for minor in (11, 12, 13, 14)
    ]


def test_extras_are_followed() -> None:
    def misses_the_kernels(wanted: str) -> bool:
        faults = find_faults(
            [installed("mlx")], [Requirement(f"{wanted}; sys_platform == 'linux'")]
        )
        return any(fault.startswith("mlx-cpu: no version on linux") for fault in faults)

    assert misses_the_kernels("mlx[cpu]")
    assert not misses_the_kernels("mlx")


def test_the_order_is_kept() -> None:
    pins = [installed("typing-extensions"), installed("h11")]
    wanted = [Requirement("h11"), Requirement("typing-extensions")]
    assert find_faults(pins, wanted) == ["the packages are not sorted by name"]


def test_an_environment_with_other_versions_is_told() -> None:
    elsewhere = Pin("aaa", "1", Marker("sys_platform == 'win32'"))
    pins = [installed("h11"), Pin("click", "0.1", None), Pin("no-such", "1", None), elsewhere]
    held = metadata.version("click")
    assert find_other_versions(pins) == [
        f"click: pinned is 0.1, here is {held}",
        "no-such: pinned is 1, here is not installed",
    ]


def test_only_the_build_group_is_beside_what_runs() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]
    names = {one.name for one in WANTED}
    assert not names & {
        Requirement(each).name for each in project["project"]["optional-dependencies"]["lint"]
    }


def test_the_file_lies_beside_the_formula_that_reads_it() -> None:
    formula = (FILE.parent / "mlxoss.rb").read_text(encoding="utf-8")
    named = re.findall(r"--requirement=(\S+?)\"", formula)
    assert [Path(name) for name in named] == [FILE.relative_to(PROJECT.parent)]
    assert '"--require-hashes", "--only-binary=:all:"' in formula
