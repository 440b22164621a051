"""What becomes of a service that was started and does not run."""

from __future__ import annotations

from mlxoss.cli.this_machine import Machine
from mlxoss.errors import ServiceError
from mlxoss.service.ready import ServiceNotReady


def give_up(machine: Machine, ready: ServiceNotReady) -> ServiceError:
    """Say why it does not run. One that would start over for ever is stopped, and disabled.

    What refused to start is left: its manager does not start it again. So is one that has not
    answered yet.
    """
    if not ready.loops:
        return not_running(machine, ready)
    machine.manager.stop(disable=True)
    return _failed(
        machine,
        ready,
        " It was stopped, lest it start over and over, and does not start at login; "
        "`mlxoss start` tries again.",
    )


def not_running(machine: Machine, ready: ServiceNotReady) -> ServiceError:
    """Say why it does not run, and leave it to its manager."""
    return _failed(machine, ready, " `mlxoss stop` ends that." if ready.loops else "")


def _failed(machine: Machine, ready: ServiceNotReady, more: str) -> ServiceError:
    # What crashes at once has no log of its own yet.
    logs = "mlxoss logs --stderr" if ready.loops else "mlxoss logs"
    return ServiceError(
        f"The service does not run: {ready.why}.{more}",
        remedy=f"{logs}; {machine.manager.supervisor.log_hint}",
    )
