"""``mlxoss mcp``: the MCP servers that the model may use."""
