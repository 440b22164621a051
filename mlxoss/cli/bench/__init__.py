"""``mlxoss bench``: how fast a server answers."""
