"""What the head of a request has to be besides what Sanic checks."""

from __future__ import annotations

import re
from typing import Any

from sanic import Request
from sanic.compat import Header
from sanic.exceptions import BadRequest, BadURL

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_VALUES = re.compile(r"[\0\r\n]")
_UNREAD = "NONE"
"""The method of the request that Sanic makes up to answer a head that it cannot read."""


class StrictRequest(Request):
    """A request with headers as RFC 9110 (section 5) has them, and a URL.

    Anything else is answered with 400 and ends the connection: ``Content-Length : 5`` is no
    such header here and may be one to a proxy. Sanic would answer nothing to a wrong URL.
    """

    def __init__(self, url_bytes: bytes, headers: Header, **fields: Any) -> None:
        for name, value in headers.items():
            if not _NAME.fullmatch(name) or _NOT_IN_VALUES.search(value):
                raise BadRequest(f"The header {name[:100]!a} is not written as one.")
        try:
            super().__init__(url_bytes, headers, **fields)
        except BadURL:
            if fields["method"] != _UNREAD:
                raise
            super().__init__(b"*", headers, **fields)
