"""A turn from a request to its last event, whatever the protocol. Free of Sanic."""
