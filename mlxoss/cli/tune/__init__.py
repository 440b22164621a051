"""``mlxoss tune``: which settings are faster on this machine."""
