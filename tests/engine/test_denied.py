"""A model that is there and that this user may not read: real modes, and another user's id."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxoss.denied import PRIVACY, explain_denied, running_python, why
from tests.support.checkpoints import write_checkpoint

NOBODY = 65534
# Everything is imported first: another user may not read these sources.
SCRIPT = """
import os, sys
from pathlib import Path
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.errors import MlxossError
import huggingface_hub.constants
name, cache, home = sys.argv[1:]
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    resolve_model(name, env={"MLXOSS_HOME": home}, hub_cache=Path(cache))
except MlxossError as error:
    print(error)
else:
    print("found")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "home").chmod(0o777)
    yield folder
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
    shutil.rmtree(folder)


def write_model(folder: Path) -> Path:
    """A checkpoint that every user may read."""
    write_checkpoint(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def resolve(name: str, folder: Path) -> str:
    """What another user is told of the model ``name``."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, str(folder / "hub"), str(folder / "home")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "closed",
    [".", "config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"],
)
def test_a_model_that_may_not_be_read(open_folder: Path, closed: str) -> None:
    model = write_model(open_folder / "tiny")
    (weights,) = model.glob("model*.safetensors")
    weights.rename(model / "model-00001-of-00002.safetensors")
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    (model / "model.safetensors.index.json").write_text(index)
    assert resolve(str(model), open_folder) == "found\n"
    (model / closed).chmod(0)
    said = resolve(str(model), open_folder)
    assert "cannot be read (Permission denied)" in said
    assert f"shuts user {NOBODY if os.getuid() == 0 else os.getuid()} out" in said
    assert "whole checkpoint" not in said
    assert "damaged" not in said


@pytest.mark.parametrize("closed", [".", "refs", "refs/main", "snapshots"])
def test_a_cache_that_may_not_be_read_is_not_one_without_the_model(
    open_folder: Path, closed: str
) -> None:
    cached = open_folder / "hub" / "models--some-org--tiny"
    write_model(cached / "snapshots" / "c0ffee")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee")
    assert resolve("some-org/tiny", open_folder) == "found\n"
    (cached / closed).chmod(0)
    said = resolve("some-org/tiny", open_folder)
    assert "cannot be read (Permission denied)" in said
    assert "pull" not in said


def test_what_macos_denies_is_told_from_what_modes_do() -> None:
    by_macos = PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    assert PRIVACY in (explain_denied(by_macos) or "")
    assert str(running_python(sys.executable)) in why(by_macos)
    by_mode = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert PRIVACY not in (explain_denied(by_mode) or "")
    assert why(by_mode) == "Permission denied"
    assert explain_denied(FileNotFoundError(errno.ENOENT, "No such file")) is None


def test_a_frameworks_python_is_the_application_that_it_hands_over_to(tmp_path: Path) -> None:
    version = tmp_path / "Python.framework" / "Versions" / "3.14"
    (version / "bin").mkdir(parents=True)
    (version / "bin" / "python3.14").touch()
    (tmp_path / "python").symlink_to(version / "bin" / "python3.14")
    assert running_python(str(tmp_path / "python")) == version / "bin" / "python3.14"
    app = version / "Resources" / "Python.app"
    app.mkdir(parents=True)
    assert running_python(str(tmp_path / "python")) == app
