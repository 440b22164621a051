#!/bin/sh
# The quick tests, with MLX on the CPU, where it is the same everywhere.
set -u
. "$(dirname "$0")/../common.sh"

"$PYTHON" -c 'import pytest, xdist' 2>/dev/null || skip "pip install '.[test]' into mlxoss's environment"
cd "$(dirname "$0")/../../.." || exit 1
TEST_ON_CPU=1 exec "$PYTHON" -m pytest -q
