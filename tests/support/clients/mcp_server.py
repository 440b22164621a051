"""A server of one tool that speaks MCP over its standard streams; run as a script.

With a number it has as many more of the same.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

TOOL = {
    "name": "look_up",
    "description": "Look a word up.",
    "inputSchema": {
        "type": "object",
        "properties": {"word": {"type": "string"}},
        "required": ["word"],
    },
}


def answer(
    method: str, params: dict[str, Any], more: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    match method:
        case "initialize":
            version = params["protocolVersion"]
            info = {"name": "words", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            return {"tools": [TOOL, *more]}
        case "tools/call":
            text = f"It means {params['arguments']['word'].upper()}."
            return {"content": [{"type": "text", "text": text}]}
    return {}


if __name__ == "__main__":
    more = [TOOL | {"name": f"look_up_{i}"} for i in range(int((*sys.argv, "0")[1]))]
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            result = answer(message["method"], message.get("params") or {}, more)
            sent = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            sys.stdout.write(json.dumps(sent) + "\n")
            sys.stdout.flush()
