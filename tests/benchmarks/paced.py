"""The HTTP path alone: a server whose model's steps last exactly as long as they are told.

On a CPU one step of MLX over the whole vocabulary varies by milliseconds, which hides
the tenths of one that are looked for. Here the model sleeps instead of computing, with
the interpreter's lock released as MLX does, so the difference between driving it
in-process and over HTTP is the server's own work: engine, parser, chunks and socket.
"""

from __future__ import annotations

import subprocess
import sys
import time

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import SequenceOutput
from tests.support.fakes import ScriptedBackend

STEP_S = 0.005
"""A fast decode step of a real model: 200 tokens per second."""


def start_server() -> tuple[subprocess.Popen[str], int]:
    """A server process on such a model, and its port. The caller ends it."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.server.process", str(STEP_S), "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    return server, int(server.stdout.readline())


def in_process_rate(streams: int, tokens: int) -> float:
    """Tokens per second of such a model with nothing around it, the first token left out."""
    backend = ScriptedBackend(lambda request: [1000] * (tokens + 1), step_s=STEP_S)
    for uid in range(streams):
        backend.insert(uid, GenerationRequest((1,), tokens, stop_ids=frozenset()))
    produced, start, end = 0, 0.0, 0.0
    unfinished = streams
    while unfinished:
        outputs = [o for o in backend.step() if isinstance(o, SequenceOutput)]
        end = time.perf_counter()
        if start:
            produced += len(outputs)
        elif outputs:
            start = end
        unfinished -= sum(o.token.finish is not None for o in outputs)
    return produced / (end - start)
