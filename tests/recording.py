"""Records the README's terminal session: ``python -m tests.recording``.

The commands run for real, as a user with a launchd would run them, with the demo model and the
tests' stand-in for launchctl; what they print replaces the block between the README's marks.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from tests.readme import replace_part
from tests.support.cli.mac import ROOT, Mac
from tests.support.waiting import until

COMMANDS = (
    "mlxoss install",
    'mlxoss chat "What is 2 + 3?"',
    "mlxoss status",
    "mlxoss connect openai-python",
)


def record(mac: Mac) -> str:
    """What a terminal shows of the commands."""
    lines: list[str] = []
    for command in COMMANDS:
        done = mac(*shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr
        shown = (done.stdout + done.stderr).replace(str(mac.home), "~").strip("\n")
        lines += [f"$ {command}", shown, ""]
        until(lambda: mac.status()["exit_status"] == 0)
    return "\n".join(lines)


def main() -> None:
    # Not in the temporary folder, of which `install` warns.
    root = Path(tempfile.mkdtemp(prefix=".recording-", dir=ROOT))
    mac = Mac(root, root, "")
    try:
        session = record(mac)
    finally:
        mac("uninstall", "--purge", "--yes")
        mac.close()
        shutil.rmtree(root)
    replace_part("recorded", f"```console\n{session.rstrip()}\n```\n")


if __name__ == "__main__":
    main()
