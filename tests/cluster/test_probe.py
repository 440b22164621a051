"""What a host tells of itself, where its system tells it in one way or another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlxoss.cli.cluster.probe import read_machine
from mlxoss.errors import ServiceError
from mlxoss.service.subprocess import CommandResult


def tell(command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
    """``sysctl`` of macOS."""
    assert command == ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    return CommandResult(0, "8C1D-44\n", "")


def tell_nothing(command: Sequence[str], *, timeout_s: float = 30.0) -> CommandResult:
    raise ServiceError(f"{command[0]} does not exist")


def test_linux_has_the_boot_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("2f0c-11\n")
    assert read_machine(tmp_path / "boot_id", tell_nothing) == "2f0c-11"


def test_macos_tells_it_by_a_command(tmp_path: Path) -> None:
    assert read_machine(tmp_path / "boot_id", tell) == "8C1D-44"


def test_elsewhere_the_name_has_to_do(tmp_path: Path) -> None:
    assert read_machine(tmp_path / "boot_id", tell_nothing)
