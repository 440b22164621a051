"""Turns in which this server runs tools for the model: rounds, and the calls between them."""
