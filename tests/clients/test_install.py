"""That a client of another version than the one wanted is no reason to skip its tests."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.clients import install

WANTED = "9.8.7"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm that brings a ``claude`` which does what the file ``does`` says."""
    place = tmp_path / "bin"
    place.mkdir()
    does = tmp_path / "does"
    made = tmp_path / "client/node_modules/.bin"
    lines = (
        "#!/bin/sh",
        f"mkdir -p {shlex.quote(str(made))}",
        f"cp {shlex.quote(str(does))} {shlex.quote(str(made / 'claude'))}",
        f"chmod +x {shlex.quote(str(made / 'claude'))}",
    )
    for name in ("npm", "node"):
        (place / name).write_text("\n".join(lines))
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return does


@pytest.mark.parametrize(
    ("does", "complaint"),
    [
        (f"#!/bin/sh\necho '{WANTED} (Claude Code)'\n", None),
        ("#!/bin/sh\necho '2.1.112 (Claude Code)'\n", r"is to be Claude Code 9\.8\.7: 2\.1\.112"),
        ("#!/bin/sh\necho 'it has no program'\nexit 1\n", "does not run: .*it has no program"),
        ("#!/no/such/node\n", "does not run: "),
    ],
)
def test_only_the_version_that_is_wanted_will_do(
    npm: Path, tmp_path: Path, does: str, complaint: str | None
) -> None:
    npm.write_text(does)
    client = install.CLIENTS["claude"]
    package = client.packages[0].rpartition("@")[0]
    if complaint is None:
        client.install(tmp_path / "client", [f"{package}@{WANTED}"])
        return
    with pytest.raises(install.OtherVersion, match=complaint):
        client.install(tmp_path / "client", [f"{package}@{WANTED}"])
