"""What tools of this server are enabled, and what was done with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mlxoss.core import JsonObject
from mlxoss.server.services import Services

if TYPE_CHECKING:
    from mlxoss.turns.hosted.runs import ToolCount


def read_tools(services: Services) -> JsonObject:
    """The ``tools`` object of ``/health``. The event loop's thread, microseconds.

    A tool is told of if it can be used, which the settings alone do not say. ``calls`` are those
    that ended, by the names of ``ToolRuns.counts``: few and fixed, whatever requests name.
    """
    runs = services.turns.tools
    if runs is None:
        return {"python": False, "browser": None, "mcp": [], "calls": {}}
    tools = runs.tools
    return {
        "python": tools.python is not None,
        "browser": services.config.tool_browser if tools.browser is not None else None,
        "mcp": list(tools.mcp.labels) if tools.mcp is not None else [],
        "calls": {name: _to_json(count) for name, count in sorted(runs.counts.items())},
    }


def _to_json(count: ToolCount) -> JsonObject:
    return asdict(count) | {"seconds": round(count.seconds, 3)}
