"""What ``mlxoss serve`` tells the person who started it. Pure text."""

from __future__ import annotations

import json
import time

REAL_MODEL = "mlx-community/gpt-oss-20b-MXFP4-Q8"


def started(version: str, pid: int, at: float) -> str:
    """The first line of every run; ``at`` is a Unix time in seconds."""
    utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return f"{utc} mlxoss {version} pid {pid}"


def demo(name: str) -> str:
    """What the bundled model is, and how to get the real one."""
    return (
        f"No model was named, so this serves {name}: a tiny model for trying things out.\n"
        "It answers a few kinds of question and is right about little. For the real one:\n"
        f"  mlxoss models pull {REAL_MODEL}\n"
        f"  mlxoss serve --model {REAL_MODEL}"
    )


def address(host: str, port: int, model: str, *, needs_key: bool = False) -> str:
    """Where ``model`` is served, and a command to try."""
    base = url(host, port)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    quoted = body.replace("'", "'\\''")
    key = ' -H "Authorization: Bearer $MLXOSS_API_KEY"' if needs_key else ""
    return (
        f"Serving {model} at {base}/v1. To try it:\n"
        f"  curl {base}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{quoted}'"
    )


def url(host: str, port: int) -> str:
    """How a client on this machine reaches a server that listens on ``host`` and ``port``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (bound nowhere)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
