"""A server process for tests: ``python -m tests.support.server.process STEP_S DRAIN_S [broken]``.

Its model writes until the token limit, one token each STEP_S. It prints its port
once it listens. With ``broken`` the first step fails beyond repair.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from mlxoss.config import Config
from mlxoss.core import GenerationRequest, ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.server.lifecycle import run_server
from mlxoss.turns.context import ServedModel
from tests.support.fakes import ScriptedBackend


def main() -> int:
    step_s, drain_s, *rest = sys.argv[1:]
    port = int(rest[0]) if rest and rest[0].isdigit() else 0
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    backend = ScriptedBackend(_endless, step_s=float(step_s))
    if "broken" in rest:
        backend.step_errors.append(RuntimeError("the batch is lost"))
        backend.rebuild_errors.append(RuntimeError("and cannot be rebuilt"))
    config = Config(port=port)
    return run_server(
        config,
        ServedModel(
            Engine(lambda: backend, max_batch=config.max_batch, max_queue=config.max_queue),
            ModelInfo("scripted", 100_000, 1),
        ),
        on_listening=lambda host, port: print(port, flush=True),  # noqa: T201
        drain_s=float(drain_s),
    )


def _endless(request: GenerationRequest) -> Sequence[int]:
    return [200_005, 17_196, 200_008, *[1000] * 50_000]  # <|channel|>final<|message|>


if __name__ == "__main__":
    sys.exit(main())
