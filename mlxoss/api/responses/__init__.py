"""``/v1/responses`` and ``/v1/conversations``: their items, requests, objects and events."""
