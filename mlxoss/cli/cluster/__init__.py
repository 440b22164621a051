"""``mlxoss cluster``: the hosts that are to serve one model together."""
