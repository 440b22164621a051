"""A server as the commands ask it."""
