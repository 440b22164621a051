"""``mlxoss models``: pull a model and list what is there."""
