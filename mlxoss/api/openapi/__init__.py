"""What endpoints tell of themselves: ``/openapi.json``."""
