#!/bin/sh
# Does tune measure on this machine, keep only what gains, and is that used and undone? With the
# bundled demo model. On a Mac also: are the command buffers told to MLX before it looks, and do large
# ones say the same tokens? Figures of the model that MODEL names (a folder or an id) are shown too.
# MLXOSS is the command, PYTHON its interpreter. 0: right, 77: cannot be tried here, else wrong.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"
"$PYTHON" -c 'import sys, mlx.core as mx
raise SystemExit(sys.platform == "darwin" and mx.device_count(mx.gpu) == 0)' || { echo "no GPU"; exit 77; }

MLXOSS_HOME=$(mktemp -d) || exit 1
MLXOSS_PORT=$("$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
# A service that is installed is left alone: its definition lies in the home folder, the models may too.
HF_HOME=${HF_HOME:-$HOME/.cache/huggingface}
HOME=$MLXOSS_HOME
export MLXOSS_HOME MLXOSS_PORT HF_HOME HOME
[ -z "${MODEL:-}" ] || { MLXOSS_MODEL=$MODEL; export MLXOSS_MODEL; }
unset MLX_MAX_OPS_PER_BUFFER MLX_MAX_MB_PER_BUFFER
trap 'rm -rf "$MLXOSS_HOME"' EXIT
trap 'exit 1' HUP INT TERM

if [ "$(uname -s)" = Darwin ]; then
    /usr/bin/pmset -g batt | head -1
    /usr/bin/pmset -g | grep -E 'powermode' || echo "pmset tells of no power mode"
    /usr/sbin/ioreg -rc AGXAccelerator -d 1 | grep gpu-core-count || echo "ioreg tells of no GPU cores"
fi
"$MLXOSS" tune --anyway --json >"$MLXOSS_HOME/said" || { echo "tune failed"; exit 1; }
"$PYTHON" - "$MLXOSS_HOME" <<'END' || exit 1
import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
said = json.loads((folder / "said").read_text())
(entry,) = json.loads((folder / "data/tuned.json").read_text()).values()
control = said["control"]
print(f"as it is: {control['decode']:.1f} and {control['decode_rows']:.1f} tok/s, prompt "
      f"{control['prefill']:.0f} tok/s, {1000 * control['pause_s']:.0f} ms after a pause, "
      f"{control['peak_bytes'] / 1e9:.2f} GB; {entry['measured_for']['chip']}, "
      f"{entry['measured_for']['system']}, drift {said['drift']:+.1%}")
other = []
for one in said["tried"]:
    gains = {name: f"{gain:+.1%}" for name, gain in one.get("gains", {}).items()}
    print(one["settings"], gains, one["why"] or "kept")
    other += [one["why"]] if "tokens" in (one["why"] or "") or "failed" in (one["why"] or "") else []
print("settings:", said["settings"], *said["notes"])
sys.exit(bool(other) or said["settings"] != entry["settings"])
END

"$MLXOSS" tune --reset | grep -q '^Forgotten' || { echo "what was found is not forgotten"; exit 1; }
grep -q '{}' "$MLXOSS_HOME/data/tuned.json" || { echo "an entry stays"; exit 1; }

"$PYTHON" - <<'END'
import os
import sys

from mlxoss.engine.command_buffers import ELEMENTS, OPERATIONS, announce_here

if sys.platform == "darwin":
    announce_here("auto", 0)
    print("auto:", os.environ.get(OPERATIONS, "MLX's"), os.environ.get(ELEMENTS, "MLX's"))
    os.environ.pop(OPERATIONS, None), os.environ.pop(ELEMENTS, None)
    announce_here("77/88", 0)
sys.exit(sys.platform == "darwin" and (os.environ[OPERATIONS], os.environ[ELEMENTS]) != ("77", "88"))
END
