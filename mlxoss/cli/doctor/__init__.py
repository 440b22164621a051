"""``mlxoss doctor``: every check of the set-up."""
