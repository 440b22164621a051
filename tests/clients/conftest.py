from __future__ import annotations

from tests.server.conftest import _nothing_logged_as_error, encoding, leaning, logged_errors, serve

__all__ = ["_nothing_logged_as_error", "encoding", "leaning", "logged_errors", "serve"]
