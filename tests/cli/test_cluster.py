"""What ``mlxoss cluster check`` refuses before it asks any host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli.runner import mlxoss

GROUP = [{"ssh": f"mac-{n}", "ips": [f"10.0.0.{n}"]} for n in (1, 2)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "There is no hostfile: give one, or `mlxoss config set hostfile FILE`."),
        (("FILE", "--hostfile", "FILE"), "Name the hostfile once"),
        (("FILE", "--backend", "mpi"), "--backend must be one of ring, jaccl, not 'mpi'."),
        (("FILE", "--backend", "jaccl"), "hosts[0].rdma must have 2 entries"),
        (("--hostfile", "gone.json"), "The hostfile gone.json cannot be used: it does not exist."),
        (("FILE", "--model", ""), "--model must be a text that is not empty"),
    ],
)
def test_what_is_asked_must_make_sense(
    tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps(GROUP))
    named = [str(path) if each == "FILE" else each for each in arguments]
    done = mlxoss(tmp_path, "cluster", "check", *named)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
