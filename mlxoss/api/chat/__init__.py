"""``/v1/chat/completions``: from its JSON to a turn, and from a turn to its JSON."""
