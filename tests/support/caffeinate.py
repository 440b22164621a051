"""A ``caffeinate`` that holds nothing, and ends as macOS's does (caffeinate(8)).

``-i`` asks for an assertion against idle sleep and no other; ``-w PID`` lets it go when that
process ends. It notes each start in a file.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.service.box import is_alive

_SCRIPT = """#!{python} -SE
import os, select, sys
with open({notes!r}, "a") as file:
    file.write(f"{{os.getpid()}} {{sys.argv[1:]!r}}\\n".replace("'", '"'))
if {broken}:
    sys.exit(71)
flag, wait, pid = sys.argv[1:]
assert (flag, wait) == ("-i", "-w")
select.select([os.pidfd_open(int(pid))], [], [])
"""


@dataclass(frozen=True)
class Caffeinate:
    """The command, and what it noted."""

    command: Path

    @property
    def _notes(self) -> Path:
        return self.command.with_suffix(".notes")

    def starts(self) -> list[tuple[int, list[str]]]:
        """Of each start the pid and the arguments."""
        if not self._notes.exists():
            return []
        lines = [line.partition(" ") for line in self._notes.read_text().splitlines()]
        return [(int(pid), json.loads(arguments)) for pid, _, arguments in lines]

    def holders(self) -> list[int]:
        """Whose sleep is held off: the processes that those which run wait for."""
        return [int(arguments[-1]) for pid, arguments in self.starts() if is_alive(pid)]


def make_caffeinate(folder: Path, *, is_broken: bool = False) -> Caffeinate:
    """One in ``folder``; a broken one ends at once."""
    made = Caffeinate(folder / "caffeinate")
    notes = str(made.command.with_suffix(".notes"))
    made.command.write_text(
        _SCRIPT.format(python=os.path.realpath(sys.executable), notes=notes, broken=is_broken)
    )
    made.command.chmod(0o755)
    return made
