"""``mlxoss status``: how the service is."""
