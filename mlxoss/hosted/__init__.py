"""Tools that this server runs for the model: python, browser, MCP. All are off until enabled."""
