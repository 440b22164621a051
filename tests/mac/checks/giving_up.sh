#!/bin/sh
# A prompt whose client gives up goes on where its prefill was, from this machine's own device.
# It needs MLXOSS, the command, and PYTHON. 0: right; 77: cannot be tried here; else wrong.
set -u
[ -n "${MLXOSS:-}" ] && [ -n "${PYTHON:-}" ] || { echo "MLXOSS and PYTHON are not set"; exit 77; }
folder=$(mktemp -d) || exit 77
server=
clean_up() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start() {
    : >"$folder/said"
    MLXOSS_HOME=$folder/home $MLXOSS serve --port 0 2>"$folder/said" &
    server=$!
}
stop() {
    kill "$server"
    wait "$server"
    server=
}

cat >"$folder/ask.py" <<'END'
"""Ask until the answer comes, with more patience each time; print what each try found computed."""

import json, re, socket, sys, time, urllib.request

def url():
    for _ in range(600):
        found = re.search(r"at (http://\S+)/v1\.", open(sys.argv[1]).read())
        if found:
            return found[1]
        time.sleep(0.1)
    sys.exit("the server does not say where it listens")

base = url()
host, port = base.removeprefix("http://").rsplit(":", 1)

def get(path):
    return json.load(urllib.request.urlopen(base + path, timeout=60))

for _ in range(600):
    if get("/health")["status"] == "ok":
        break
    time.sleep(0.1)
words = " ".join(f"harbour {number}" for number in range(int(sys.argv[3])))
body = json.dumps({"model": "m", "stream": True, "prompt": words, "max_tokens": 1}).encode()
head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
head = f"{head}Content-Length: {len(body)}\r\n\r\n".encode()
tries = []
for number in range(int(sys.argv[2])):
    with socket.create_connection((host, int(port)), timeout=600) as connection:
        connection.sendall(head + body)
        connection.settimeout(float(sys.argv[4]) * 2**number)
        try:
            connection.recv(1)
        except TimeoutError:
            pass
    while get("/health")["active_requests"]:
        time.sleep(0.05)
    tries.append(get("/mlxoss/requests")["data"][0])
    if tries[-1]["status"] not in (200, 499):
        sys.exit(f"the server answered {tries[-1]['status']}")
print(*(f"{each.get('cached_tokens', 0)}/{each.get('prompt_tokens', 0)}" for each in tries))
END

start
first=$("$PYTHON" "$folder/ask.py" "$folder/said" 8 800 0.05) || { echo "wrong: $first"; cat "$folder/said"; exit 1; }
stop
start
second=$("$PYTHON" "$folder/ask.py" "$folder/said" 1 800 300) || { echo "wrong: $second"; cat "$folder/said"; exit 1; }
stop
echo "tries found this much of the prompt computed: $first; after a restart: $second"
"$PYTHON" - "$first" "$second" <<'END'
import sys

found = [int(part.split("/")[0]) for part in sys.argv[1].split()]
after = int(sys.argv[2].split("/")[0])
if found != sorted(found) or not found[-1] or after < min(found[-1], 256):
    sys.exit("wrong: a try did not go on where the one before it ended")
END
