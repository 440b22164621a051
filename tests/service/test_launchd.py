"""What launchd answers that no stand-in of it comes to: by its answers alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.service.launchd import Launchd
from mlxoss.service.spec import ServiceSpec
from mlxoss.service.subprocess import CommandResult
from mlxoss.service.supervisor import Polling

REFUSED = {
    5: "Bootstrap failed: 5: Input/output error",
    134: "Bootstrap failed: 134: Unknown error",
}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def launchd(home: Path, code: int) -> Launchd:
    """One that accepts nothing, for a reason that it does not tell."""

    def run(command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
        match command[1]:
            case "bootstrap":
                return CommandResult(code, "", REFUSED[code])
            case "print" if command[2].startswith("gui/"):
                return CommandResult(113, "", "Could not find service")
            case "print-disabled":
                return CommandResult(0, "disabled services = {\n}\n", "")
        return CommandResult(113, "", "")

    time = Time()
    pace = Polling(clock=time.clock, sleep=time.sleep)
    return Launchd("launchctl", os.getuid(), home, run=run, pace=pace)


@pytest.mark.parametrize(("code", "names_it"), [(5, True), (134, False)])
def test_an_endless_input_output_error_names_login_items(
    tmp_path: Path, code: int, names_it: bool
) -> None:
    supervisor = launchd(tmp_path, code)
    program = tmp_path / "mlxoss"
    spec = ServiceSpec(program, tmp_path / "state", tmp_path / "log", {})
    supervisor.definition.parent.mkdir(parents=True)
    supervisor.definition.write_bytes(supervisor.render(spec))
    supervisor.definition.chmod(0o644)
    with pytest.raises(ServiceError, match=REFUSED[code]) as found:
        supervisor.register()
    named = "System Settings > General > Login Items" in (found.value.remedy or "")
    assert named is names_it
