#!/bin/sh
# Metal computes what the CPU computes: products, MXFP4 experts, attention with sinks, the demo.
set -u
. "$(dirname "$0")/../common.sh"

exec "$PYTHON" "$(dirname "$0")/../metal.py"
