"""Connections, heads, bodies, errors and streams: HTTP whatever is asked."""
