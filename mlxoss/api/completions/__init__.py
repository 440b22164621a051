"""``/v1/completions``: from its JSON to raw prompts, and from what follows them to its JSON."""
