"""A server process whose state is in a folder: ``python -m tests.server.kept_process FOLDER``.

Its model writes a short answer, one token a millisecond. It prints its port once it listens.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.server.run import run_server
from mlxoss.server.state import open_state
from tests.fakes import ScriptedBackend

# <|channel|>final<|message|>, some text, <|return|>
ANSWER = [200_005, 17_196, 200_008, *[1000] * 20, 200_002]


def main() -> int:
    folder = Path(sys.argv[1])
    config = Config(port=0)
    return run_server(
        config,
        Engine(lambda: ScriptedBackend(lambda request: ANSWER, step_s=0.001)),
        lambda config: open_state(folder, config),
        model=ModelInfo("scripted", 100_000, 1),
        on_listening=lambda host, port: print(port, flush=True),  # noqa: T201
    )


if __name__ == "__main__":
    sys.exit(main())
