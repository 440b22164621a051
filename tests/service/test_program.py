from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.service.program import find_program, stable_program

HOME = Path("/Users/you")


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_running_command_is_taken_unresolved(tmp_path: Path) -> None:
    real = make(tmp_path / "venv" / "bin" / "mlxoss")
    link = tmp_path / "local" / "bin" / "mlxoss"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert find_program(str(link)) == link


def test_under_python_m_the_command_is_looked_for(tmp_path: Path) -> None:
    real = make(tmp_path / "bin" / "mlxoss")
    main = str(tmp_path / "mlxoss" / "__main__.py")
    assert find_program(main, search_path=str(real.parent)) == real
    with pytest.raises(ServiceError, match="no mlxoss command"):
        find_program(main, search_path=str(tmp_path))


def test_one_version_of_a_formula_becomes_its_current_one(tmp_path: Path) -> None:
    keg = make(tmp_path / "Cellar" / "mlxoss" / "1.2" / "bin" / "mlxoss")
    assert stable_program(keg, HOME).path == keg
    opt = make(tmp_path / "opt" / "mlxoss" / "bin" / "mlxoss")
    assert stable_program(keg, HOME).path == opt
    link = tmp_path / "bin" / "mlxoss"
    link.parent.mkdir()
    link.symlink_to("../Cellar/mlxoss/1.2/bin/mlxoss")
    assert stable_program(link, HOME).path == opt


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/Users/you/.cache/uv/archive-v0/Qk3/bin/mlxoss", "one-off"),
        ("/Users/you/Library/Caches/uv/environments-v2/a/bin/mlxoss", "one-off"),
        ("/Users/you/.local/pipx/.cache/3f/bin/mlxoss", "one-off"),
        ("/Users/you/Documents/mlxoss/.venv/bin/mlxoss", "~/Documents"),
        ("/Users/you/Desktop/x/bin/mlxoss", "~/Desktop"),
        ("/Volumes/Stick/bin/mlxoss", "/Volumes/Stick"),
        ("/Users/you/Library/Mobile Documents/x/mlxoss", "~/Library/Mobile Documents"),
    ],
)
def test_refused(path: str, word: str) -> None:
    assert word in (stable_program(Path(path), HOME).refusal or "")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/tmp/venv/bin/mlxoss", "temporary"),
        ("/private/var/folders/zz/T/bin/mlxoss", "temporary"),
    ],
)
def test_doubtful(path: str, word: str) -> None:
    found = stable_program(Path(path), HOME)
    assert found.refusal is None
    assert word in (found.warning or "")


@pytest.mark.parametrize(
    "path",
    [
        "/opt/homebrew/opt/mlxoss/bin/mlxoss",
        "/opt/homebrew/bin/mlxoss",
        "/Users/you/.local/bin/mlxoss",
        "/Users/you/.local/share/uv/tools/mlxoss/bin/mlxoss",
        "/Users/you/src/mlxoss/.venv/bin/mlxoss",
    ],
)
def test_accepted(path: str) -> None:
    found = stable_program(Path(path), HOME)
    assert (found.path, found.refusal, found.warning) == (Path(path), None, None)
