#!/bin/sh
# Are the weights wired, nothing else, and only while they are there? By what the daemon says of the
# demo model, and by what the system counts as wired beside a gigabyte of weights.
# MLXOSS is the command, PYTHON its interpreter. 0: right, 77: cannot be tried here, else wrong.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"
[ "$(uname -s)" = Darwin ] || { echo "not a Mac"; exit 77; }
[ "$(sw_vers -productVersion | cut -d. -f1)" -ge 15 ] || { echo "wiring needs macOS 15"; exit 77; }
"$PYTHON" -c 'import mlx.core as mx; raise SystemExit(mx.device_count(mx.gpu) == 0)' ||
    { echo "no GPU"; exit 77; }

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
url=http://127.0.0.1:$port
"$MLXOSS" serve --host 127.0.0.1 --port "$port" --wired weights >"$MLXOSS_HOME/said" 2>&1 &
pid=$!
tries=0
until curl -fs "$url/health" | grep -q '"status": *"ok"'; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || { echo "the daemon does not serve:"; cat "$MLXOSS_HOME/said"; exit 1; }
    sleep 1
done
curl -fs "$url/health" >"$MLXOSS_HOME/loaded"
"$MLXOSS" unload --url "$url" >/dev/null || exit 1
curl -fs "$url/health" >"$MLXOSS_HOME/unloaded"
"$PYTHON" - "$MLXOSS_HOME" <<'END' || exit 1
import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
loaded, unloaded = (json.loads((folder / name).read_text())["memory"] for name in ("loaded", "unloaded"))
wired, active = loaded.get("wired_bytes", 0), loaded["active_bytes"]
print(f"demo model: {wired / 1e6:.1f} MB wired of {active / 1e6:.1f} MB in arrays; "
      f"unloaded: {unloaded.get('wired_bytes', 'none')}")
sys.exit(not (0.5 * active < wired <= 1.01 * active and "wired_bytes" not in unloaded))
END

"$PYTHON" - <<'END'
import re
import subprocess
import sys
import time

import mlx.core as mx
import mlx.nn as nn

from mlxoss.engine.mlx.wiring import unwire, wire_weights
from mlxoss.engine.wiring import Wiring, renew_wired

PIECE = 64 << 20
YES = Wiring(True, "a check")


def wired() -> float:
    """What the system counts as wired, in GB."""
    said = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True).stdout
    page = int(re.search(r"page size of (\d+) bytes", said)[1])
    return page * int(re.search(r"Pages wired down:\s+(\d+)", said)[1]) / 1e9


def use(arrays: list) -> float:
    """Have the GPU read them all; milliseconds."""
    began = time.perf_counter()
    mx.eval([array.sum() for array in arrays])
    return 1000 * (time.perf_counter() - began)


renew_wired(YES)  # before the GPU is used
weights = nn.Module()
pieces = [mx.zeros((PIECE // 4,)) for _ in range(16)]
mx.eval(pieces)
for at, piece in enumerate(pieces):
    setattr(weights, f"w{at}", piece)
use(pieces)
warm = use(pieces)
time.sleep(4)
before = wired()
cold = use(pieces)
time.sleep(4)
wire_weights(weights, YES)
time.sleep(4)
during, kept = wired(), use(pieces)
more = [mx.ones((PIECE // 4,)) for _ in range(8)]
use(more)
time.sleep(4)
beside = wired()
unwire()
time.sleep(4)
after = wired()
print(f"wired by the system, GB: before {before:.2f}, 1.07 GB of weights {during:.2f}, with 0.54 GB "
      f"of other arrays {beside:.2f}, undone {after:.2f}")
print(f"to read the weights, ms: {warm:.1f}; after 4 s of rest {cold:.1f}, wired {kept:.1f}")
grew, others, left = during - before, beside - during, after - before
sys.exit(not (grew > 0.7 and others < 0.35 and left < 0.5))
END
