#!/bin/sh
# MCP servers: one that hangs and starts another process leaves none.
set -u
. "$(dirname "$0")/../common.sh"

own_folder
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
mkdir "$folder/config"

cat >"$folder/good.py" <<'END'
from mcp.server.mcpserver import MCPServer

server = MCPServer("good")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

server.run()
END
cat >"$folder/bad.py" <<'END'
import os, pathlib, signal, subprocess, sys, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(10000)"
other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {other.pid}")
time.sleep(10000)
END
"$PYTHON" - "$folder" "$PYTHON" <<'END'
import json, pathlib, sys
folder, python = pathlib.Path(sys.argv[1]), sys.argv[2]
servers = {
    "good": {"command": python, "args": [str(folder / "good.py")]},
    "bad": {"command": python, "args": [str(folder / "bad.py"), str(folder / "pids")]},
}
path = folder / "config" / "mcp.json"
path.write_text(json.dumps({"mcpServers": servers}))
path.chmod(0o600)
END

said=$("$MLXOSS" mcp check good) || wrong "the server by the SDK fails: $said"
right "$said"

"$MLXOSS" mcp check bad >"$folder/said.txt" 2>&1 &
checking=$!
wait_for 60 test -s "$folder/pids" || wrong "the program was not started: $(cat "$folder/said.txt")"
kill -9 "$checking"
wait "$checking" 2>/dev/null
# The command was killed: the process between sees that, and ends the group.
gone() {
    for pid in $(cat "$folder/pids"); do
        kill -0 "$pid" 2>/dev/null && return 1
    done
    return 0
}
wait_for 20 gone || wrong "these outlive the killed command: $(cat "$folder/pids")"
right "a hanging server and its child are gone after kill -9"
