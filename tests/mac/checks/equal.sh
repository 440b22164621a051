#!/bin/sh
# The same tokens whichever settings make it fast, any two of them together: of MODEL, else of the demo.
set -u
. "$(dirname "$0")/../common.sh"

root=$(cd "$(dirname "$0")/../../.." && pwd) || exit 1
own_folder
trap 'stop_server; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
unset MLX_MAX_OPS_PER_BUFFER MLX_MAX_MB_PER_BUFFER

# The settings as variables, one combination a line. The mlxoss that is tried goes before this one.
"$PYTHON" - "$root" >"$folder/combinations" <<'END' || wrong "the settings cannot be listed"
import sys

sys.path.append(sys.argv[1])
from mlxoss.config.table import settings
from tests.support.engine.switches import pairwise, speed_settings

for combination in pairwise(speed_settings()):
    print(*(f"{settings()[name].variable}={value}" for name, value in combination.items()))
END

# One request at a time, and short prompts, so that each is computed in the same pieces every time.
cat >"$folder/ask.py" <<'END'
import json
import sys
import urllib.request


def ask(path, **body):
    data = json.dumps({"model": "-", **body}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/{path}", data)
    request.add_header("Content-Type", "application/json")
    return json.load(urllib.request.urlopen(request, timeout=600))["choices"][0]


never_ends = {"200002": -100, "200012": -100}
for number, how in enumerate(({"temperature": 0}, {"temperature": 1, "seed": 7})):
    prompt = " ".join(f"harbour {number} {word}" for word in range(30))
    said = ask("completions", prompt=prompt, max_tokens=64, logit_bias=never_ends, **how)
    print(repr(said["text"]))
schema = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
tool = {"type": "function", "function": {"name": "weather", "parameters": schema, "strict": True}}
asked = [{"role": "user", "content": "What is the weather in Rome?"}]
how = {"tool_choice": "required", "temperature": 0, "max_tokens": 200}
said = ask("chat/completions", messages=asked, tools=[tool], **how)
print([call["function"] for call in said["message"].get("tool_calls") or []], said["finish_reason"])
END

count=0
while read -r combination; do
    for word in $combination; do
        export "${word?}"
    done
    serve "${MODEL:-}" </dev/null
    "$PYTHON" "$folder/ask.py" "$port" >"$folder/said" </dev/null ||
        wrong "no answer with $combination: $(tail -n 5 "$folder/served.txt")"
    stop_server
    [ "$count" -gt 0 ] || cp "$folder/said" "$folder/first"
    cmp -s "$folder/first" "$folder/said" ||
        wrong "other tokens with $combination: $(diff "$folder/first" "$folder/said" | head -n 4)"
    count=$((count + 1))
done <"$folder/combinations"
[ "$count" -gt 2 ] || wrong "there is nothing to combine"
right "$count combinations say the same, of $(head -n 1 "$folder/combinations") and others"
tail -n 1 "$folder/first"
