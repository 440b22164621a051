"""A group starts anew only once all of its hosts have the version that the first has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxoss.daemon.intact import find_missing
from mlxoss.daemon.upgrade import Upgrade
from mlxoss.hosts import Host
from tests.support.cli.installed import Installed

_SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$(echo "$*" | sed "s:/9.9.9/:/$(cat {folder}/there)/:")"
"""
HOSTS = (Host(0, "mac-a", ("10.0.0.1",)), Host(1, "mac-b", ("10.0.0.2",)))


def test_rank_0_waits_for_the_other_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(_SSH.format(folder=tmp_path))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    there = tmp_path / "there"
    there.write_text("0.1.0")
    installed = Installed(tmp_path / "versions")
    installed.add("0.1.0")
    installed.switch("0.1.0")
    upgrade = Upgrade([str(installed.command)], hosts=HOSTS, is_supervised=True)
    upgrade.look()
    assert upgrade.problem() is None
    installed.add("9.9.9")
    installed.switch("9.9.9")
    for _ in range(2):
        upgrade.look()
    assert not upgrade.has_come
    problem = upgrade.problem()
    assert problem is not None
    assert problem.message == (
        "mlxoss 9.9.9 is installed here, but not on all hosts: rank 1 (mac-b) has 0.1.0."
    )
    there.write_text("9.9.9")
    for _ in range(12):
        upgrade.look()
    assert upgrade.has_come
    problem = upgrade.problem()
    assert problem is not None
    assert problem.message.startswith("mlxoss 9.9.9 is installed, and ")
    assert problem.remedy.startswith("It starts anew once nothing runs")


@pytest.mark.parametrize("name", ["daemon/assemble.py", "engine/mlx/batch.py"])
def test_what_cannot_be_loaded_is_not_started(tmp_path: Path, name: str) -> None:
    """All its files are there, but it does not go with what it stands on."""
    installed = Installed(tmp_path / "versions")
    installed.add("0.1.0")
    installed.switch("0.1.0")
    upgrade = Upgrade([str(installed.command)], is_supervised=True)
    (broken,) = installed.add("9.9.9").rglob(name)
    broken.write_text("from mlx_lm import nothing_of_that_name\n")
    installed.switch("9.9.9")
    for _ in range(2):
        upgrade.look()
    assert not upgrade.has_come
    problem = upgrade.problem()
    assert problem is not None
    assert "cannot serve yet: it does not load: ImportError: cannot import" in problem.message


def test_nothing_is_missing_here() -> None:
    assert list(find_missing()) == []


def test_a_need_with_a_condition_is_looked_at_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLX has one everywhere: another build of it for each system."""
    needs = "here; sys_platform != 'none'", "nowhere; sys_platform == 'none'", "odd; extra == 'odd'"
    for name, requires in (("mlxoss", needs), ("here", ()), ("odd", ())):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        lines = [f"Requires-Dist: {each}" for each in requires]
        (info / "METADATA").write_text("\n".join([f"Name: {name}", "Version: 1", *lines, ""]))
        (info / "RECORD").write_text(f"{name}/core.so,sha256=-,1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mlxoss").mkdir()
    (tmp_path / "mlxoss" / "core.so").touch()
    assert list(find_missing()) == [f"{tmp_path}/here/core.so"]
