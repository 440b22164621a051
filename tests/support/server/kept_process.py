"""Servers whose state is in a folder, to be killed.

``python -m tests.support.server.kept_process FOLDER`` loads everything once and then answers lines
on its standard input: ``start`` forks a server and prints ``pid PID`` and, once that listens,
``port PID PORT``. So a life costs milliseconds instead of seconds. Its model writes a short
answer, one token a millisecond, or each ``start STEP_S``. ``start STEP_S BYTES`` lets it write no
file beyond that size, as on a full disk.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.server.app import create_app, load_handlers
from mlxoss.server.http.errors import App
from mlxoss.server.http.listeners import open_listeners
from mlxoss.server.lifecycle import serve
from mlxoss.server.storage import open_storage
from mlxoss.turns.context import ServedModel
from tests.support.fakes import ScriptedBackend

# <|channel|>final<|message|>, some text, <|return|>
ANSWER = [200_005, 17_196, 200_008, *[1000] * 20, 200_002]


def live(folder: Path, encoding: Encoding, step_s: float = 0.001) -> int:
    """Serve until the end, as ``run_server`` does, with an encoding that is there."""
    app = make_app("kept", encoding, step_s)
    config = app.ctx.services.config
    with open_listeners(config) as listeners:
        app.ctx.services.open(open_storage(folder, config))
        return asyncio.run(serve(app, listeners, on_listening=_tell_port))


def make_app(name: str, encoding: Encoding, step_s: float = 0.001) -> App:
    engine = Engine(lambda: ScriptedBackend(lambda request: ANSWER, step_s=step_s))
    served = ServedModel(engine, ModelInfo("scripted", 100_000, 1))
    return create_app(Config(port=0), served, lambda: encoding, name=name)


def _tell_port(host: str, port: int) -> None:
    say(f"port {os.getpid()} {port}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    encoding = load_encoding()
    load_handlers(make_app("first", encoding))
    # Children that were killed are gone at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child:
            say(f"pid {child}")
            continue
        _, *words = line.split()
        for most_bytes in map(int, words[1:]):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        os._exit(live(folder, encoding, *map(float, words[:1])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
