"""Sanic: HTTP on one side, the api, harmony and engine floors on the other."""
