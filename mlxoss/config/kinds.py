"""The kinds of values a setting may have, and how each is read and checked.

A kind has two ways in: ``read`` takes text (a flag, an environment variable),
``check`` takes a typed value (from TOML) and is strict about its type. Both
return the value to use or raise ``ValueError`` with the end of a sentence that
begins with the setting's name: ``must be an integer from 0 to 65535, not 'x'``.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from abc import ABC, abstractmethod
from pathlib import Path


class Kind(ABC):
    """One kind of value."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What a value must be, as the rest of a sentence after ``must be``."""

    @property
    @abstractmethod
    def metavar(self) -> str | None:
        """How help texts show the value; ``None`` for a flag without one."""

    @abstractmethod
    def check(self, value: object) -> object:
        """Validate a typed value."""

    def read(self, text: str) -> object:
        """Validate a value given as text."""
        return self.check(text)

    def refuse(self, value: object) -> ValueError:
        """The error that says what was wanted and what came."""
        return ValueError(f"must be {self.wanted}, not {value!r}")


class Text(Kind):
    """Text that is not empty."""

    wanted = "a text that is not empty"
    metavar = "TEXT"

    def check(self, value: object) -> str:
        """Accept a ``str`` with at least one visible character and no control character."""
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.refuse(value)
        return value


class Integer(Kind):
    """A whole number from ``low`` to ``high``, both included."""

    metavar = "N"

    def __init__(self, low: int, high: int | None = None) -> None:
        self._low = low
        self._high = high

    @property
    def wanted(self) -> str:
        """The range in words."""
        if self._high is None:
            return f"an integer of at least {self._low}"
        return f"an integer from {self._low} to {self._high}"

    def read(self, text: str) -> int:
        """Accept decimal digits with an optional sign, nothing else that ``int`` takes."""
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise self.refuse(text)
        return self.check(int(text))

    def check(self, value: object) -> int:
        """Accept an ``int`` in range (a ``bool`` is none)."""
        if not isinstance(value, int) or isinstance(value, bool) or value < self._low:
            raise self.refuse(value)
        if self._high is not None and value > self._high:
            raise self.refuse(value)
        return value


class Switch(Kind):
    """On or off."""

    wanted = "true or false"
    metavar = None
    _words = {  # noqa: RUF012 (a constant table)
        **dict.fromkeys(("true", "yes", "on", "1"), True),
        **dict.fromkeys(("false", "no", "off", "0"), False),
    }

    def read(self, text: str) -> bool:
        """Accept true, yes, on, 1 and their opposites in any case."""
        if text.lower() not in self._words:
            raise self.refuse(text)
        return self._words[text.lower()]

    def check(self, value: object) -> bool:
        """Accept a ``bool``."""
        if not isinstance(value, bool):
            raise self.refuse(value)
        return value


class OneOf(Kind):
    """One of a few words, in any case; the value is the lower-case one."""

    def __init__(self, *words: str) -> None:
        self.words = words

    @property
    def wanted(self) -> str:
        """The words."""
        return f"one of {', '.join(self.words)}"

    @property
    def metavar(self) -> str:
        """The words as help shows them."""
        return "|".join(self.words)

    def check(self, value: object) -> str:
        """Accept one of the words."""
        if not isinstance(value, str) or value.lower() not in self.words:
            raise self.refuse(value)
        return value.lower()


class BufferSizes(Kind):
    """``auto``, ``mlx``, or how many operations and millions of elements, ``1000/400``."""

    wanted = "auto, mlx, or two whole numbers such as 1000/400"
    metavar = "auto|mlx|OPS/MB"

    def check(self, value: object) -> str:
        """Accept one of them; the numbers from 1 to 99999."""
        if not isinstance(value, str):
            raise self.refuse(value)
        if not re.fullmatch(r"auto|mlx|[1-9][0-9]{0,4}/[1-9][0-9]{0,4}", value.lower()):
            raise self.refuse(value)
        return value.lower()


class Day(Kind):
    """A calendar day."""

    wanted = "a date in the form YYYY-MM-DD"
    metavar = "YYYY-MM-DD"

    def check(self, value: object) -> datetime.date:
        """Accept TOML's local date or a text of the form ``YYYY-MM-DD``."""
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            return value
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise self.refuse(value)
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise self.refuse(value) from None


class FilePath(Kind):
    """A path; a leading ``~`` is the home folder."""

    wanted = "a path"
    metavar = "FILE"

    def check(self, value: object) -> Path:
        """Accept a ``Path`` or a text that is not empty."""
        if isinstance(value, Path):
            return value.expanduser()
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.refuse(value)
        try:
            return Path(value).expanduser()
        except RuntimeError:  # ~name of a user that does not exist
            raise self.refuse(value) from None


class ListOf(Kind):
    """Several values of one kind, each once: commas between them in text, an array in TOML.

    The value is a tuple in the order given. An empty array is an empty tuple; an empty text
    is refused, since it may be a variable that was never filled.
    """

    def __init__(self, item: Kind) -> None:
        self._item = item

    @property
    def wanted(self) -> str:
        """The kind of each."""
        return f"a list, each of it {self._item.wanted}"

    @property
    def metavar(self) -> str:
        """The kind of each, as help shows it."""
        return f"{self._item.metavar},..."

    def read(self, text: str) -> tuple[object, ...]:
        """Accept values with commas between them; spaces around them do not count."""
        return tuple(dict.fromkeys(self._item.read(part.strip()) for part in text.split(",")))

    def check(self, value: object) -> tuple[object, ...]:
        """Accept a list or a tuple."""
        if not isinstance(value, list | tuple):
            raise self.refuse(value)
        return tuple(dict.fromkeys(self._item.check(part) for part in value))


class HostName(Kind):
    """A name or an address without a port, or ``*`` for any; lower case, no brackets."""

    wanted = "a host name or address without a port, or *"
    metavar = "HOST"

    def check(self, value: object) -> str:
        """Accept what can stand in a Host header before the port."""
        if not isinstance(value, str):
            raise self.refuse(value)
        name = value.lower()
        if name == "*" or re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", name):
            return name
        try:
            return str(ipaddress.IPv6Address(name.removeprefix("[").removesuffix("]")))
        except ValueError:
            raise self.refuse(value) from None


class WebOrigin(Kind):
    """A web origin (RFC 6454) as browsers send it, or ``*`` for any.

    ``null`` is none: every sandboxed frame and every local file has it.
    """

    wanted = "an origin such as https://app.example (no path, no /), or *"
    metavar = "ORIGIN"

    def check(self, value: object) -> str:
        """Accept ``scheme://host[:port]``; the scheme's own port is left out, as browsers do."""
        if not isinstance(value, str):
            raise self.refuse(value)
        origin = value.lower()
        if origin == "*":
            return origin
        if not re.fullmatch(
            r"[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", origin, re.A
        ):
            raise self.refuse(value)
        usual = {"http:": ":80", "https:": ":443"}.get(origin.partition("//")[0])
        return origin.removesuffix(usual) if usual else origin


class WebAddress(Kind):
    """A web address without a user, query or fragment, such as a service's own."""

    wanted = "a web address such as http://localhost:8080 (no user, no ? and no #)"
    metavar = "URL"

    def check(self, value: object) -> str:
        """Accept ``http://`` or ``https://``, a host, a port and a path, the last two if given."""
        if not isinstance(value, str) or not re.fullmatch(
            r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[\w.~%!$&'()*+,;=:@/-]*)?",
            value,
            re.A | re.I,
        ):
            raise self.refuse(value)
        return value
