"""What ``mlxoss tools`` says of MCP servers. ``mlxoss mcp`` lists and tries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlxoss.cli.tools.told import Told

if TYPE_CHECKING:
    from mlxoss.config import Config

_NAME = "mcp"


def tell(config: Config, env: Mapping[str, str]) -> Told:
    """Whether requests may use servers of the configuration, by label, and which."""
    from mlxoss.cli.mcp.servers import HOW_TO_ENABLE, read_file
    from mlxoss.cli.printing import tilde
    from mlxoss.hosted.mcp.limits import McpLimits

    if config.tool_mcp != "on":
        return Told(_NAME, "off", HOW_TO_ENABLE)
    found = read_file(env)
    faults = found.file.problems
    if not found.file.servers:
        why = faults[0] if faults else f"{tilde(found.path)} names no servers."
        return Told(_NAME, "bad", why)
    limits = McpLimits()
    bounds = f"{limits.call_s:.0f} s and {limits.output_chars:,} characters a call"
    more = "; not all can be used (mlxoss mcp list)" if faults else ""
    return Told(_NAME, "on", f"{', '.join(found.file.servers)}; {bounds}{more}")
