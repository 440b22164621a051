"""``mlxoss tools``: the tools that this server runs for the model."""
