"""That a client of another version than the one wanted is no reason to skip its tests."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.clients import install

WANTED = "9.8.7"
PINNED = ("claude", "codex")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm, whose programs all do what the file that this is says."""
    place = tmp_path / "bin"
    place.mkdir()
    does, made = tmp_path / "does", tmp_path / "client/node_modules/.bin"
    lines = ["#!/bin/sh", f"mkdir -p {shlex.quote(str(made))}"]
    for name in PINNED:
        program = shlex.quote(str(made / name))
        lines += [f"cp {shlex.quote(str(does))} {program}", f"chmod +x {program}"]
    for name in ("npm", "node"):
        (place / name).write_text("\n".join(lines))
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return does


@pytest.mark.parametrize("name", PINNED)
@pytest.mark.parametrize(
    ("does", "complaint"),
    [
        (f"#!/bin/sh\necho 'codex-cli {WANTED}'\n", None),
        ("#!/bin/sh\necho 'codex-cli 0.1.2'\n", r"is to be \w+ 9\.8\.7: codex-cli 0\.1\.2"),
        ("#!/bin/sh\necho 'it has no program'\nexit 1\n", "does not run: .*it has no program"),
        ("#!/no/such/node\n", "does not run: "),
    ],
)
def test_only_the_version_that_is_wanted_will_do(
    npm: Path, tmp_path: Path, name: str, does: str, complaint: str | None
) -> None:
    npm.write_text(does)
    client = install.CLIENTS[name]
    wanted = f"{client.packages[0].rpartition('@')[0]}@{WANTED}"
    if complaint is None:
        client.install(tmp_path / "client", [wanted])
        return
    with pytest.raises(install.OtherVersion, match=complaint):
        client.install(tmp_path / "client", [wanted])
