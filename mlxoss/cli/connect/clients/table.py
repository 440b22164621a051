"""All clients that files are written for, or that are run."""

from __future__ import annotations

from mlxoss.cli.connect.clients.by_environment import AIDER, CLAUDE, OPEN_WEBUI
from mlxoss.cli.connect.clients.client import Client
from mlxoss.cli.connect.clients.cline import CLINE
from mlxoss.cli.connect.clients.codex import CODEX, CODEX_APP
from mlxoss.cli.connect.clients.crush import CRUSH
from mlxoss.cli.connect.clients.editors import VSCODE, ZED
from mlxoss.cli.connect.clients.goose import GOOSE
from mlxoss.cli.connect.clients.lists import CONTINUE, LLM, RAYCAST
from mlxoss.cli.connect.clients.openclaw import OPENCLAW
from mlxoss.cli.connect.clients.opencode import KILO, OPENCODE
from mlxoss.cli.connect.clients.pi import PI

CLIENTS: dict[str, Client] = {
    "claude": CLAUDE,
    "codex": CODEX,
    "codex-app": CODEX_APP,
    "opencode": OPENCODE,
    "pi": PI,
    "crush": CRUSH,
    "goose": GOOSE,
    "cline": CLINE,
    "kilo": KILO,
    "openclaw": OPENCLAW,
    "aider": AIDER,
    "continue": CONTINUE,
    "llm": LLM,
    "zed": ZED,
    "vscode": VSCODE,
    "raycast": RAYCAST,
    "open-webui": OPEN_WEBUI,
}
"""By the names that are typed."""
