"""``TEST_ON_CPU`` has MLX on the CPU in each process, where its default device is another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ON_CPU
from tests.support.cli.installed import Installed

# MLX on a Mac, as far as devices go.
CORE = """
gpu, cpu = "gpu", "cpu"
chosen = gpu

def set_default_device(device):
    global chosen
    chosen = device

def disable_compile():
    pass
"""


@pytest.fixture
def mlx(tmp_path: Path) -> Path:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "core.py").write_text(CORE)
    return tmp_path


@pytest.mark.parametrize(("folder", "device"), [(ON_CPU, "cpu"), (Path("/nonexistent"), "gpu")])
def test_each_process_that_inherits_it_computes_there(mlx: Path, folder: Path, device: str) -> None:
    child = "import mlx.core; print(mlx.core.chosen)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (folder, mlx)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{device}\n", done.stderr


@pytest.mark.skipif(
    Path(sysconfig.get_path("stdlib"), "sitecustomize.py").exists(),
    reason="this Python has a sitecustomize of its own, as Debian's does, which goes first",
)
def test_a_version_beside_an_environment_that_computes_there_does_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on virtual Macs: the file lies in the environment from which versions are made."""
    packages = tmp_path / "site-packages"
    (packages / "mlx").mkdir(parents=True)
    (packages / "mlx" / "core.py").write_text(CORE)
    shutil.copy(ON_CPU / "sitecustomize.py", packages)
    monkeypatch.syspath_prepend(str(packages))
    folder = Installed(tmp_path / "versions").add("1")
    done = subprocess.run(
        [folder / "bin" / "python", "-c", "import mlx.core; print(mlx.core.chosen)"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "cpu\n", done.stderr


def test_mlx_itself_is_imported_as_ever() -> None:
    code = "import sys, mlx.core as mx; print(mx.default_device(), (mx.ones(3) + 1).tolist())"
    env = os.environ | {"PYTHONPATH": str(ON_CPU)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "Device(cpu, 0) [2.0, 2.0, 2.0]\n", done.stderr
