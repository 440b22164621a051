"""``mlxoss chat``: a question, or a talk on a terminal."""
