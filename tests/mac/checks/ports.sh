#!/bin/sh
# A port that another program has on all addresses: install, serve and the rest refuse it and say who has it.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"

. "$(dirname "$0")/../common.sh"

launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
plist=$HOME/Library/LaunchAgents/org.mlxoss.daemon.plist
folder=$(mktemp -d) || exit 1
unset XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME XDG_STATE_HOME MLXOSS_CONFIG MLXOSS_PORT
MLXOSS_HOME=$folder/own
export MLXOSS_HOME
other=
undo() {
    [ -z "$other" ] || { kill "$other" 2>/dev/null; wait "$other" 2>/dev/null; }
    rm -rf "$folder"
}
trap undo EXIT
trap 'exit 130' HUP INT TERM

port=$("$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$folder/empty"
"$PYTHON" -m http.server "$port" --directory "$folder/empty" >"$folder/other.txt" 2>&1 &
other=$!
left=60
until "$PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || wrong "the other program does not listen: $(cat "$folder/other.txt")"
    sleep 1
done

# What the kernel says of an address beside that: the reason to ask first.
"$PYTHON" - "$port" <<'END'
import socket, sys
with socket.socket() as own:
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind(("127.0.0.1", int(sys.argv[1])))
    except OSError as error:
        print("the kernel refuses 127.0.0.1 beside another program's *:", error)
    else:
        print("the kernel lets 127.0.0.1 be bound beside another program's *")
END

for host in localhost 127.0.0.1 0.0.0.0; do
    "$MLXOSS" serve --host "$host" --port "$port" --insecure-no-auth >"$folder/said.txt" 2>&1 &&
        wrong "serve --host $host took a port that another program has"
    grep -q "cannot listen on 127.0.0.1:$port" "$folder/said.txt" ||
        wrong "serve --host $host says: $(tail -n 1 "$folder/said.txt")"
    if [ -x /usr/sbin/lsof ] || command -v lsof >/dev/null; then
        grep -q "(pid $other) listens there" "$folder/said.txt" ||
            wrong "serve does not say who has it: $(tail -n 1 "$folder/said.txt")"
    fi
done
right "$(tail -n 1 "$folder/said.txt")"

if [ ! -x "$launchctl" ]; then
    echo "install cannot be tried: there is no launchctl"
elif [ -e "$plist" ]; then
    echo "install cannot be tried: there is $plist already"
else
    "$MLXOSS" install --port "$port" >"$folder/said.txt" 2>&1 &&
        { "$MLXOSS" uninstall; wrong "install took a port that another program has"; }
    grep -q "port $port on 127.0.0.1 is in use" "$folder/said.txt" ||
        wrong "install says: $(cat "$folder/said.txt")"
    [ ! -e "$plist" ] || wrong "install was refused and left $plist"
    right "$(grep 'in use' "$folder/said.txt")"
    MLXOSS_PORT=$port XPC_SERVICE_NAME=org.mlxoss.daemon "$MLXOSS" serve >"$folder/said.txt" 2>&1 ||
        wrong "as a service it ends with $?, and would be started over and over"
    grep -q '"port_taken"' "$MLXOSS_HOME/data/last-exit.json" || wrong "it left no reason"
    right "as a service it ends once, with a reason"
fi

kill "$other"
wait "$other" 2>/dev/null
other=
said=$("$PYTHON" -c "from mlxoss.sockets import port_taken; print(port_taken('localhost', $port))")
[ "$said" = None ] || wrong "the other program is gone, and $said"
right "with the other program gone the port is free at once"
