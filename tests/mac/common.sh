# What the checks share; they read it with ". common.sh" and have MLXOSS and PYTHON set.

skip() {
    echo "cannot be tried here: $*"
    exit 77
}

wrong() {
    echo "WRONG: $*"
    exit 1
}

right() { echo "right: $*"; }

# One question on the terminal; the answer to "Go on?" is no where there is none.
go_on() {
    [ -t 0 ] || return 1
    printf '%s [y/N] ' "$1"
    read -r answer
    [ "$answer" = y ]
}

# A folder of mlxoss's own for this check, not where macOS empties or guards it.
own_folder() {
    folder=$(mktemp -d "$HOME/mlxoss-check.XXXXXX") || exit 1
    unset XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME XDG_STATE_HOME MLXOSS_CONFIG MLXOSS_PORT
    MLXOSS_HOME=$folder
    export MLXOSS_HOME
}

free_port() {
    "$PYTHON" -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    left=$1
    shift
    until "$@"; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 1
    done
}

# A value of /health at $port by its path: "pid", "memory.active_bytes"; nothing if none answers.
health() {
    "$PYTHON" - "$port" "$1" <<'END'
import json, sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=20)
except urllib.error.HTTPError as error:
    answer = error
except OSError:
    sys.exit()
value = json.load(answer)
for name in sys.argv[2].split("."):
    value = value.get(name) if isinstance(value, dict) else None
print("" if value is None else value)
END
}

is_up() { [ -n "$(health pid)" ]; }

is_settled() {
    case $(health status) in
    ok | failed) return 0 ;;
    esac
    return 1
}

# serve MODEL: in the background, at a free $port, until it has loaded; "" is the demo.
serve() {
    port=$(free_port)
    if [ -n "$1" ]; then set -- --model "$1"; else set --; fi
    "$MLXOSS" serve "$@" --port "$port" >"$folder/served.txt" 2>&1 &
    server=$!
    wait_for 1800 is_settled || wrong "no model was loaded: $(tail -n 5 "$folder/served.txt")"
    [ "$(health status)" = ok ] || wrong "the model is not loaded: $(health error)"
}

stop_server() {
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null
    [ -z "${server:-}" ] || wait "$server" 2>/dev/null
    server=
}

# The model to judge by: MODEL, else a 20b that was pulled; nothing means the demo.
real_model() {
    if [ -n "${MODEL:-}" ]; then
        echo "$MODEL"
    else
        "$MLXOSS" models list --json 2>/dev/null | grep -o '[^" ]*/gpt-oss-20b[^" ]*' | head -n 1
    fi
}
