#!/bin/sh
# A new version under a running service: it serves on, and launchd starts the new one by itself.
set -u
. "$(dirname "$0")/../common.sh"

label=org.mlxoss.daemon
launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
[ -x "$launchctl" ] || skip "there is no launchctl"
[ ! -e "$HOME/Library/LaunchAgents/$label.plist" ] || skip "the service is installed here already"
root=$(cd "$(dirname "$0")/../../.." && pwd)
own_folder
clean_up() {
    "$MLXOSS" uninstall --purge --yes >/dev/null 2>&1
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# add VERSION: a copy of this package that calls itself so, and to which the command leads.
add() {
    PYTHONPATH=$root "$PYTHON" - "$folder/versions" "$1" <<'END'
import sys
from pathlib import Path
from tests.support.cli.installed import Installed
installed = Installed(Path(sys.argv[1]))
installed.add(sys.argv[2])
installed.switch(sys.argv[2])
END
}
is_version() { [ "$(health version)" = "$1" ]; }

add 0.0.1 || wrong "no copy could be made"
MLXOSS=$folder/versions/current/bin/mlxoss
port=$(free_port)
"$MLXOSS" install --port "$port" >"$folder/said.txt" 2>&1 || wrong "install: $(tail -n 4 "$folder/said.txt")"
wait_for 120 is_settled || wrong "the service does not load its model"
is_version 0.0.1 || wrong "it says $(health version), not 0.0.1"

rm -rf "$folder/versions/0.0.1"
sleep 12
is_version 0.0.1 || wrong "without its files it says $(health version): it was started anew from nothing"
[ -n "$(curl -fs "http://127.0.0.1:$port/openapi.json")" ] || wrong "no /openapi.json without its files"
[ -n "$(curl -fs "http://127.0.0.1:$port/")" ] || wrong "no page without its files"
"$PYTHON" - "$port" <<'END' || wrong "no answer without its files"
import json, sys, urllib.request
body = json.dumps({"model": "-", "messages": [{"role": "user", "content": "Hello!"}]}).encode()
head = {"Content-Type": "application/json"}
url = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"
urllib.request.urlopen(urllib.request.Request(url, body, head), timeout=60).read()
END
right "it serves on without its files"

add 0.0.2
wait_for 120 is_version 0.0.2 || wrong "two minutes after an upgrade $(health version) serves"
right "the new version serves: launchd started it anew once nothing ran"

add 0.0.3
pid=$(health pid)
"$MLXOSS" install >"$folder/said.txt" 2>&1 || wrong "install: $(tail -n 4 "$folder/said.txt")"
is_version 0.0.3 || wrong "install after an upgrade left $(health version)"
[ "$(health pid)" != "$pid" ] || wrong "install after an upgrade left the old process"
right "install after an upgrade starts the new version at once"
