"""MCP servers: what this server calls for the model, in processes of their own."""
