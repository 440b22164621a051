"""Installs the clients that the tests here run: ``python -m tests.clients.install``.

They go into one folder, ``MLXOSS_CLIENTS`` or ``.clients`` beside the project: ``node_modules`` of
the Node clients and a Python environment ``python``. Tests of what is absent are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("MLXOSS_CLIENTS") or Path(__file__).parents[2] / ".clients").absolute()
NODE = ("@openai/codex", "openai", "ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible")
PYTHON = ("openai-agents", "langchain-openai", "llm")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "install", "--prefix", FOLDER, *NODE], check=True)
    subprocess.run([sys.executable, "-m", "venv", FOLDER / "python"], check=True)
    subprocess.run([FOLDER / "python/bin/pip", "install", "-q", *PYTHON], check=True)


if __name__ == "__main__":
    main()
