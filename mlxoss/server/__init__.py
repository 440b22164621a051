"""Sanic: HTTP on one side, turns and what is told of them on the other."""
