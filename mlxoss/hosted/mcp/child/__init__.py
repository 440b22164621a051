"""The process that speaks to one MCP server: ``python -m mlxoss.hosted.mcp.child``.

The only place that imports the official SDK, which takes a second and holds the interpreter's lock
meanwhile. It has a process group of its own, which its server's command is in too.
"""
