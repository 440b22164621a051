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
    why = f"The service does not run: {ready.why}."
    if ready.loops:
        machine.manager.stop(disable=True)
        why += (
            " It was stopped, lest it start over and over, and does not start at login;"
            " `mlxoss start` tries again."
        )
    return not_running(machine, why)


def not_running(machine: Machine, why: str) -> ServiceError:
    """``why``, and where more can be read."""
    return ServiceError(why, remedy=f"mlxoss logs; {machine.manager.supervisor.log_hint}")
