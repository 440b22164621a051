"""What ``mlxoss serve`` tells the person who started it. Pure text."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from mlxoss.addresses import to_url
from mlxoss.config import Config

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


def address(base: str, model: str) -> str:
    """Where ``model`` is served, the URL ``base``, once connections are taken."""
    return f"Serving {model} at {base}/v1. The model is being loaded."


def try_it(base: str, model: str, *, needs_key: bool, certificate: Path | None) -> str:
    """A command to try, once the model can answer."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    trust = f" --cacert {shlex.quote(str(certificate))}" if certificate else ""
    key = ' -H "Authorization: Bearer $MLXOSS_API_KEY"' if needs_key else ""
    return (
        "The model is loaded. To try it:\n"
        f"  curl{trust} {base}/v1/chat/completions{key} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)}"
    )


def url(config: Config) -> str:
    """How a client on this machine reaches the server that has these settings."""
    return to_url(config.host, config.port, is_tls=config.tls_cert is not None)
