"""``mlxoss connect`` and ``mlxoss codex``: how clients find this server."""
