#!/bin/sh
# No idle sleep while an answer is written, and nothing held after it (pmset -g assertions).
set -u
. "$(dirname "$0")/../common.sh"

command -v pmset >/dev/null || skip "there is no pmset"
own_folder
asking=
clean_up() {
    [ -z "$asking" ] || kill "$asking" 2>/dev/null
    stop_server
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# What the daemon's own caffeinate holds, by pmset's list: "pid 123(caffeinate): [0x..] .. KIND named: ..".
held() {
    child=$(pgrep -P "$server" -x caffeinate) || return 1
    pmset -g assertions | grep "pid $child(caffeinate)"
}
is_held() { held | grep -q PreventUserIdleSystemSleep; }
is_free() { ! is_held; }
ask() {
    curl -fsN "http://127.0.0.1:$port/v1/completions" -H 'Content-Type: application/json' \
        -d '{"model": "-", "prompt": "Hello", "stream": true, "max_tokens": 100000,
             "logit_bias": {"200002": -100, "200012": -100}}' >"$folder/answer.txt" 2>&1 &
    asking=$!
}

serve ""
is_held && wrong "something is held before the first request"
ask
wait_for 20 is_held || wrong "an answer is written, and nothing is held: $(health awake.state) $(health awake.error)"
[ "$(health awake.state)" = held ] || wrong "/health says $(health awake.state)"
held | grep -q Display && wrong "the display is kept awake too: $(held)"
right "while an answer is written: $(held | head -n 1)"

kill "$asking"
asking=
wait_for 30 is_free || wrong "half a minute after the answer: $(held)"
[ "$(health awake.state)" = ready ] || wrong "/health says $(health awake.state) afterwards"
right "nothing is held after the answer"

ask
wait_for 20 is_held || wrong "a second answer holds nothing"
child=$(pgrep -P "$server" -x caffeinate)
kill -9 "$server"
wait_for 10 is_free || wrong "the daemon was killed, and this stays: $(held)"
pmset -g assertions | grep "pid $child(caffeinate)" && wrong "caffeinate outlives the daemon"
right "nothing is held after kill -9"
