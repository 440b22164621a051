"""The parts of ``/health`` that a person reads in ``mlxoss status``."""

from __future__ import annotations

import subprocess
import sys

from tests.server.conftest import Serve
from tests.support.http import ask
from tests.support.server.scripts import HELLO
from tests.support.waiting import until

MODEL = """
import sys
from mlxoss.server.monitor.memory import read_memory
before = read_memory(model_is_loaded=False)
assert read_memory(model_is_loaded=True).keys() == before.keys()
assert "mlx.core" not in sys.modules
import mlx.core as mx
held = mx.zeros(1_000_000)
mx.eval(held)
print(read_memory(model_is_loaded=True)["active_bytes"], *before)
"""


def test_memory_is_told_without_importing_mlx() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODEL], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    active, *before = done.stdout.split()
    assert int(active) >= 4_000_000
    assert before in (["process_bytes"], [])  # a system may not tell


def test_the_report_holds_memory_and_the_stores_counts(serve: Serve) -> None:
    server = serve(HELLO)
    if sys.platform in ("linux", "darwin"):
        found = ask(server, "GET", "/health").json["memory"]["process_bytes"]
        assert 10_000_000 < found < 100_000_000_000
    until(lambda: "store" in ask(server, "GET", "/health").json)
    store = ask(server, "GET", "/health").json["store"]
    assert store.keys() == {"responses", "conversations", "remembered_turns", "bytes"}
    assert store["responses"] == 0
