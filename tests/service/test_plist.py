from __future__ import annotations

import dataclasses
import plistlib
from pathlib import Path

import pytest

from mlxoss.service.plist import plist_path, read_plist, render_plist
from mlxoss.service.spec import LABEL, ServiceSpec, make_environment
from tests.support.service import standin
from tests.support.service.standin import StandIn

GOLDEN = Path(__file__).parents[2] / "launchd" / f"{LABEL}.plist"
PROGRAM = Path("/opt/homebrew/opt/mlxoss/bin/mlxoss")
HOME = Path("/Users/you")

DEFAULT = ServiceSpec(
    program=PROGRAM,
    working_directory=HOME / "Library/Application Support/mlxoss",
    log_file=HOME / "Library/Logs/mlxoss/launchd.log",
    environment=make_environment(PROGRAM, {}),
)


def test_the_golden_plist_is_what_default_settings_give() -> None:
    assert render_plist(DEFAULT).decode() == GOLDEN.read_text()


def test_every_key_is_explained_beside_it() -> None:
    explained = (GOLDEN.parent / "README.md").read_text()
    for key in plistlib.loads(GOLDEN.read_bytes()):
        assert f"| `{key}` |" in explained, key


def test_the_daemon_has_time_to_drain_before_it_is_killed() -> None:
    assert plistlib.loads(render_plist(DEFAULT))["ExitTimeOut"] == 30


@pytest.mark.parametrize(
    "text", ["a & b", "<tag>", 'quo"te', "$HOME ~ %h", "ü 漢字", "sp ace", "line\nbreak"]
)
def test_any_text_survives(text: str) -> None:
    spec = dataclasses.replace(
        DEFAULT, program=Path("/", text, "mlxoss"), environment={"A": text, "B": ""}
    )
    found = read_plist(render_plist(spec))
    assert found is not None
    assert (found.program, found.arguments) == (str(spec.program), ("serve",))
    assert found.environment == {"A": text, "B": ""}
    assert not found.homebrew


def test_homebrews_plist_is_told_from_ours() -> None:
    keys = plistlib.loads(render_plist(DEFAULT))
    keys["LimitLoadToSessionType"] = [
        *("Aqua", "Background", "LoginWindow", "StandardIO", "System")
    ]
    found = read_plist(plistlib.dumps(keys))
    assert found is not None
    assert found.homebrew


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<plist><dict>",
        b"\xff\xfe",
        b"bplist00",
        plistlib.dumps({}),
        plistlib.dumps(["serve"]),
        plistlib.dumps({"ProgramArguments": []}),
        plistlib.dumps({"ProgramArguments": ["/a"], "EnvironmentVariables": []}),
    ],
)
def test_what_is_no_definition_is_said_to_be_none(data: bytes) -> None:
    assert read_plist(data) is None


def test_the_plist_passes_the_stand_ins_lint(tmp_path: Path) -> None:
    if why := standin.missing():
        pytest.skip(why)
    path = plist_path(tmp_path, LABEL)
    path.parent.mkdir(parents=True)
    path.write_bytes(render_plist(dataclasses.replace(DEFAULT, program=Path("/bin/true"))))
    path.chmod(0o644)
    done = StandIn(tmp_path / "launchd", tmp_path)("lint", str(path))
    assert done.stdout == f"{path}: OK\n"
