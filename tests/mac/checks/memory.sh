#!/bin/sh
# Are the daemon's figures of memory the system's own? Its footprint beside top's, what the GPU may
# hold beside MLX's, the machine's memory beside sysctl's.
# MLXOSS is the command, PYTHON its interpreter. 0: right, 77: cannot be tried here, else wrong.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"
[ "$(uname -s)" = Darwin ] || { echo "not a Mac"; exit 77; }

MLXOSS_HOME=$(mktemp -d) || exit 1
export MLXOSS_HOME
pid=
undo() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; }
    rm -rf "$MLXOSS_HOME"
}
trap undo EXIT
trap 'exit 1' HUP INT TERM

port=$("$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$MLXOSS" serve --host 127.0.0.1 --port "$port" >"$MLXOSS_HOME/said" 2>&1 &
pid=$!
tries=0
until curl -fs "http://127.0.0.1:$port/health" | grep -q '"status": *"ok"'; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || { echo "the daemon does not serve:"; cat "$MLXOSS_HOME/said"; exit 1; }
    sleep 1
done

curl -fs "http://127.0.0.1:$port/health" >"$MLXOSS_HOME/health"
top -l 1 -pid "$pid" -stats mem >"$MLXOSS_HOME/top" || exit 1
"$PYTHON" - "$MLXOSS_HOME" "$(sysctl -n hw.memsize)" "$pid" <<'END'
import json
import re
import sys
from pathlib import Path

import mlx.core as mx

from mlxoss.system.memory import held_bytes, machine_bytes

folder, total, pid = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
told = json.loads((folder / "health").read_text())["memory"]
last = (folder / "top").read_text().split()[-1]
found = re.match(r"([\d.]+)([BKMG])", last)
size = float(found[1]) * {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[found[2]]
held = told.get("process_bytes", 0)
limit = int(mx.device_info().get("max_recommended_working_set_size", 0))
print(f"footprint: /health {held / 1e6:.0f} MB, asked from outside {held_bytes(pid) / 1e6:.0f} MB, "
      f"top {size / 1e6:.0f} MB; in arrays {told['active_bytes'] / 1e6:.0f} MB")
print(f"the GPU may hold: /health {told.get('limit_bytes')}, MLX {limit}")
print(f"the machine has: mlxoss {machine_bytes()}, sysctl {total}")
right = abs(held - size) < 0.1 * size + 10e6 and held > told["active_bytes"]
sys.exit(not (right and told.get("limit_bytes") == limit and machine_bytes() == total))
END
