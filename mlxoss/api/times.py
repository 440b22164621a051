"""Moments as JSON tells them."""

from __future__ import annotations

import datetime


def to_rfc3339(seconds: float) -> str:
    """A Unix time in RFC 3339, in UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")
