"""The tools that a server runs for the model, made from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlxoss.server.lifecycle import load_bundled_encoding

if TYPE_CHECKING:
    from mlxoss.config import Config
    from mlxoss.hosted.tools import BrowserTool, HostedTools, McpServers, PythonTool


def open_hosted(config: Config) -> HostedTools | None:
    """Those that are enabled and can run here; ``None``, and nothing imported, if none is enabled.

    Why one cannot run is logged. Takes a fraction of a second where Python is enabled.
    """
    is_wanted = (
        config.tool_python == "on",
        config.tool_browser != "off",
        config.tool_mcp == "on" or config.mcp_addresses == "on",
    )
    if not any(is_wanted):
        return None
    from mlxoss.hosted.tools import HostedTools

    has_python, has_browser, has_mcp = is_wanted
    tools = HostedTools(
        python=_open_python(config) if has_python else None,
        browser=_open_browser(config) if has_browser else None,
        mcp=_open_mcp(config) if has_mcp else None,
    )
    return tools if tools.python or tools.browser or tools.mcp else None


def _open_python(config: Config) -> PythonTool | None:
    from mlxoss.hosted.python.tool import open_python

    return open_python(config)


def _open_browser(config: Config) -> BrowserTool | None:
    from mlxoss.hosted.browser.tool import open_browser

    return open_browser(config, load_bundled_encoding)


def _open_mcp(config: Config) -> McpServers | None:
    from mlxoss.hosted.mcp.servers import open_mcp

    return open_mcp(config)
