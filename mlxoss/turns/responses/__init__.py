"""Responses: what they go on from, how they run and how they are kept."""
