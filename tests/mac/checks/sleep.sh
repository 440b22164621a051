#!/bin/sh
# Long: an answer goes on after the Mac slept; it is put to sleep, and you wake it by a key.
set -u
. "$(dirname "$0")/../common.sh"

command -v pmset >/dev/null || skip "there is no pmset"
go_on "Put this Mac to sleep now? Wake it by a key after half a minute." ||
    skip "nobody is here to wake it"
model=$(real_model)
own_folder
trap 'stop_server; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

serve "$model"
: >"$folder/load"
"$PYTHON" "$(dirname "$0")/../load.py" "$port" "$folder/load" >"$folder/counts.txt" &
load=$!
sleep 3
slept_at=$(date +%s)
pmset sleepnow >/dev/null || wrong "pmset sleepnow failed"
sleep 20 # of waking time
[ $(($(date +%s) - slept_at)) -gt 30 ] || skip "it did not sleep"
rm -f "$folder/load"
wait "$load" || wrong "answers were cut off by the sleep: $(cat "$folder/counts.txt")"
[ "$(health status)" = ok ] || wrong "after the sleep: $(health error)"
right "asleep for $(($(date +%s) - slept_at - 20)) s: answers $(cat "$folder/counts.txt")"
