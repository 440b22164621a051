"""What a request may take: so many of a key, so long, and one place in the engine."""
