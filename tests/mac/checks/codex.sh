#!/bin/sh
# Long: an hour of Codex on a real model (MINUTES says how long): it mends a program, again and again.
set -u
. "$(dirname "$0")/../common.sh"

codex=$(command -v codex) || skip "there is no codex on the PATH"
command -v git >/dev/null || skip "there is no git"
model=$(real_model)
[ -n "$model" ] || skip "there is no real model: mlxoss models pull mlx-community/gpt-oss-20b-MXFP4-Q8"
own_folder
trap 'stop_server; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

serve "$model"
CODEX_HOME=$folder/codex
export CODEX_HOME
mkdir "$CODEX_HOME"
MLXOSS_PORT=$port "$MLXOSS" codex --write >/dev/null || wrong "mlxoss codex --write failed"

# A program with a fault, and the test that shows it.
lay_out() {
    rm -rf "$folder/work" && mkdir "$folder/work" && cd "$folder/work" && git init -q . || exit 1
    cat >middle.py <<'END'
def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
END
    cat >test_middle.py <<'END'
import unittest
from middle import median

class Median(unittest.TestCase):
    def test_of_three(self):
        self.assertEqual(median([3, 1, 2]), 2)

    def test_of_four(self):
        self.assertEqual(median([4, 1, 3, 2]), 2.5)

    def test_of_none(self):
        self.assertRaises(ValueError, median, [])
END
    cp test_middle.py "$folder/test_middle.kept"
}

asked='Run `python3 -m unittest`, find why it fails, and mend middle.py. Leave test_middle.py as it is.'
end=$(($(date +%s) + ${MINUTES:-60} * 60))
rounds=0
mended=0
failed=0
first=$(health memory.active_bytes)
while [ "$(date +%s)" -lt "$end" ]; do
    # Nothing that begins so gets better within the hour.
    [ "$failed" -ge 5 ] && [ "$mended" -eq 0 ] && break
    lay_out
    rounds=$((rounds + 1))
    "$codex" exec --sandbox workspace-write --json "$asked" \
        >"$folder/codex.jsonl" 2>"$folder/codex.err" </dev/null || {
        failed=$((failed + 1))
        echo "round $rounds: codex failed: $(grep '"error"' "$folder/codex.jsonl" | tail -n 1)"
    }
    cp "$folder/test_middle.kept" test_middle.py
    if "$PYTHON" -m unittest >/dev/null 2>&1; then
        mended=$((mended + 1))
    else
        echo "round $rounds: not mended"
    fi
    is_up || wrong "after $rounds rounds the server does not answer: $(tail -n 5 "$folder/served.txt")"
done
cd "$folder" || exit 1
echo "model $(health model), ${MINUTES:-60} minutes: $rounds rounds, mended $mended, codex failed $failed"
echo "memory $first bytes at first, $(health memory.active_bytes) at last, peak $(health memory.peak_bytes)"
[ "$(health status)" = ok ] || wrong "at the end: $(health error)"
[ "$failed" -eq 0 ] || wrong "codex failed $failed times"
bad=$(grep -c ' 50[0-9] ' "$folder/served.txt")
[ "$bad" -eq 0 ] || wrong "$bad requests were answered by an error of the server's"
[ "$mended" -gt 0 ] || wrong "nothing was mended in $rounds rounds"
