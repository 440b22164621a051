#!/bin/sh
# Are wired weights let go and wired again, and no snapshot with them? Does a GPU that is kept warm
# answer sooner after a pause? The last is told, not judged: mlxoss tune decides.
# MLXOSS is the command, PYTHON its interpreter. 0: right, 77: cannot be tried here, else wrong.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"
[ "$(uname -s)" = Darwin ] || { echo "cannot be tried here: not a Mac"; exit 77; }
[ "$(sw_vers -productVersion | cut -d. -f1)" -ge 15 ] ||
    { echo "cannot be tried here: wiring needs macOS 15"; exit 77; }
"$PYTHON" -c 'import mlx.core as mx; raise SystemExit(mx.device_count(mx.gpu) == 0)' ||
    { echo "cannot be tried here: no GPU"; exit 77; }

"$PYTHON" - <<'END'
import re
import subprocess
import sys
import time

import mlx.core as mx
import mlx.nn as nn

from mlxoss.daemon.power import power_problem
from mlxoss.engine.idling import TICK_S
from mlxoss.engine.mlx.device import spark
from mlxoss.engine.mlx.wiring import let_go, unwire, wire_again, wire_weights
from mlxoss.engine.wiring import Wiring, renew_wired

PIECE = 64 << 20
YES = Wiring(True, "a check")


def wired() -> float:
    """What the system counts as wired, in GB, once it had time for it."""
    time.sleep(4)
    said = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True).stdout
    page = int(re.search(r"page size of (\d+) bytes", said)[1])
    return page * int(re.search(r"Pages wired down:\s+(\d+)", said)[1]) / 1e9


def use(arrays: list) -> float:
    """Have the GPU read them all; milliseconds."""
    began = time.perf_counter()
    mx.eval([array.sum() for array in arrays])
    return 1000 * (time.perf_counter() - began)


def pause(seconds: float, is_kept_warm: bool) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left))
        if is_kept_warm:
            spark()


renew_wired(YES)  # before the GPU is used
weights = nn.Module()
pieces = [mx.zeros((PIECE // 4,)) for _ in range(16)]
mx.eval(pieces)
for at, piece in enumerate(pieces):
    setattr(weights, f"w{at}", piece)
use(pieces)
before = wired()
wire_weights(weights, YES)
during = wired()
let_go()
gone = wired()
began = time.perf_counter()
wire_again()
took = 1000 * (time.perf_counter() - began)
first = use(pieces)
again = wired()
warm = use(pieces)
print(f"wired by the system, GB: before {before:.2f}, 1.07 GB of weights {during:.2f}, let go "
      f"{gone:.2f}, again {again:.2f}")
print(f"to wire again {took:.1f} ms, then to read the weights {first:.1f} ms, once more {warm:.1f}")

found = {"left alone": [], "kept warm": []}
for _ in range(5):
    for name, each in (("left alone", False), ("kept warm", True)):
        pause(3, each)
        found[name].append(use(pieces[:4]))
told = ", ".join(f"{name} {sorted(times)[2]:.1f} ms" for name, times in found.items())
print(f"the first work after 3 s, of five: {told}; {power_problem() or 'on the mains'}")
unwire()
sys.exit(not (during - before > 0.7 and gone - before < 0.5 and again - before > 0.7))
END
