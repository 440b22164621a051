"""A ``systemctl --user`` for one unit: it starts, stops and shows one real process."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = globals().get("ROOT", "")
STATE = Path(ROOT, "systemctl.json")
UNIT = Path(ROOT, "config", "systemd", "user", "mlxoss.service")


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def spawn() -> int:
    text = UNIT.read_text()
    command = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0]
    pairs = [shlex.split(line)[0] for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)]
    log = re.findall(r"^StandardOutput=append:(.*)$", text, re.MULTILINE)[0]
    with open(log, "ab") as file:
        return subprocess.Popen(
            shlex.split(command),
            env=dict(pair.split("=", 1) for pair in pairs),
            stdout=file,
            stderr=file,
            start_new_session=True,
        ).pid


def stop(pid: int, number: int) -> None:
    if alive(pid):
        os.kill(pid, number)
    while alive(pid):
        time.sleep(0.02)


def main() -> int:
    _, _, verb, *rest = sys.argv[1:] if sys.argv[3:] else [*sys.argv[1:], ""]
    said = json.loads(STATE.read_text()) if STATE.exists() else {"pid": 0, "on": 0, "known": False}
    running = alive(said["pid"])
    match verb:
        case "daemon-reload":
            said["known"] = UNIT.exists()
        case "enable" | "disable":
            said["on"] = verb == "enable" and UNIT.exists()
        case "is-enabled":
            return int(not said["on"])
        case "start":
            said["pid"] = said["pid"] if running else spawn()
        case "stop":
            stop(said["pid"], signal.SIGTERM)
        case "restart":
            stop(said["pid"], signal.SIGKILL)
            said["pid"] = spawn()
        case "kill":
            wanted = next(word for word in rest if word.startswith("--signal="))
            if not running:
                return 1
            os.kill(said["pid"], signal.Signals[wanted.removeprefix("--signal=")])
        case "show":
            show(said, running)
    STATE.write_text(json.dumps(said))
    return 0


def show(said: dict[str, int], running: bool) -> None:
    known = said["known"] and UNIT.exists()
    lines = [
        f"LoadState={'loaded' if known else 'not-found'}",
        f"ActiveState={'active' if running else 'inactive'}",
        f"MainPID={said['pid'] if running else 0}",
        f"FragmentPath={UNIT if known else ''}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


sys.exit(main())
