"""Anthropic's ``/v1/messages``: from its JSON to a turn, and from a turn to its JSON."""
