"""What ends a call of the browser without a page."""

from __future__ import annotations

from mlxoss.errors import MlxossError


class BrowserCallFailed(MlxossError):
    """The call cannot be done; the message is what the model reads, so that it can go on."""
