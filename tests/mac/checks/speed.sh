#!/bin/sh
# Speed: mlxoss bench of MODEL, else of a pulled 20b, else of the demo.
set -u
. "$(dirname "$0")/../common.sh"

model=$(real_model)
own_folder
trap 'stop_server; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

serve "$model"
echo "model: $(health model), $(health memory.active_bytes) bytes of memory"
# Served here by these settings, so bench also measures what the model can do at most.
MLXOSS_PORT=$port "$MLXOSS" bench || wrong "mlxoss bench failed"
echo "after it: $(health memory.peak_bytes) bytes at most, problems $(health problems)"
