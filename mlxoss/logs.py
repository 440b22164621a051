"""Where the daemon's log goes and how a line looks.

::

    2026-11-22T09:30:00.123Z info    mlxoss.engine: model loaded in 4.1 s
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from mlxoss.denied import why
from mlxoss.errors import ConfigError

FILE_BYTES = 10_000_000
FILES = 5  # the one written to and four older ones

_ACCESS = "sanic.access"


def set_up_logging(
    level: str,
    file: Path | None = None,
    *,
    http_access: bool = False,
    file_bytes: int = FILE_BYTES,
) -> None:
    """Send everything logged in this process to ``file``, or else to stderr.

    ``level`` (a value of the setting ``log_level``) holds for mlxoss itself. Of other
    packages only warnings pass, unless it is ``debug``; of HTTP requests one line
    each, only if ``http_access``. The file is its owner's alone (0600) and turned
    over at ``file_bytes``. Replaces what an earlier call set up. Raises
    ``ConfigError`` when the file cannot be written.
    """
    handler = _PrivateFileHandler.to(file, file_bytes) if file else logging.StreamHandler()
    handler.setFormatter(_LineFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    own = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(logging.INFO if own <= logging.DEBUG else max(own, logging.WARNING))
    logging.getLogger("mlxoss").setLevel(own)
    _throttle(logging.getLogger("asyncio"))
    logging.getLogger(_ACCESS).setLevel(logging.INFO if http_access else logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class LogFailure:
    """The log file cannot be written since then (Unix seconds): lines are lost."""

    file: str
    why: str
    since: float


def log_failure() -> LogFailure | None:
    """Whether what is logged now is lost. Any thread."""
    handlers = logging.getLogger().handlers
    return next((h.failure for h in handlers if isinstance(h, _PrivateFileHandler)), None)


class _PrivateFileHandler(RotatingFileHandler):
    """A turning log file that only its owner may read.

    One that was moved or removed is made anew, its folder too. While it cannot be written its
    lines are lost, without a word elsewhere: what it says would fill another file.
    """

    failure: LogFailure | None = None

    @classmethod
    def to(cls, file: Path, file_bytes: int) -> _PrivateFileHandler:
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(file, maxBytes=file_bytes, backupCount=FILES - 1, encoding="utf-8")
        except OSError as error:
            message = f"The log file {file} cannot be written: {why(error)}."
            raise ConfigError(message, key="log_file") from None

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record``, to the file that has its name now."""
        before, self.failure = self.failure, None
        try:
            self._reopen_if_gone()
            super().emit(record)
        except OSError:
            self.handleError(record)
        if self.failure is not None and before is not None:
            self.failure = replace(self.failure, since=before.since)

    def handleError(self, record: logging.LogRecord) -> None:
        """Note why it cannot be written."""
        error = sys.exc_info()[1]
        why = (isinstance(error, OSError) and error.strerror) or repr(error)
        self.failure = LogFailure(self.baseFilename, why, time.time())

    def _reopen_if_gone(self) -> None:
        stream: TextIOWrapper | None = self.stream
        if stream is not None:
            try:
                there, ours = os.stat(self.baseFilename), os.fstat(stream.fileno())
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return
            except FileNotFoundError:
                pass
            self.stream = None
            with suppress(OSError):  # a full disk refuses what was still to be written
                stream.close()
        Path(self.baseFilename).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.stream = self._open()

    def _open(self) -> TextIOWrapper:
        private = partial(os.open, mode=0o600)
        return open(self.baseFilename, self.mode, encoding="utf-8", opener=private)  # type: ignore[return-value]


class _OnceASecond(logging.Filter):
    """Lets the same words pass once a second.

    An event loop that cannot accept connections says so a thousand times a second
    (asyncio/selector_events.py, ``_accept_connection``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._last = ("", 0.0)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether these words are others than the last, or some time has passed."""
        text, at = self._last
        now = time.monotonic()
        if record.getMessage() == text and now - at < 1.0:
            return False
        self._last = record.getMessage(), now
        return True


def _throttle(logger: logging.Logger) -> None:
    if not any(isinstance(each, _OnceASecond) for each in logger.filters):
        logger.addFilter(_OnceASecond())


class _LineFormatter(logging.Formatter):
    """One line per record (a traceback follows below it), in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_utc(record)} {record.levelname.lower():7} {record.name}: "
        text += _one_line(_message(record))
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _utc(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


def _message(record: logging.LogRecord) -> str:
    if record.name != _ACCESS:
        return record.getMessage()
    # Sanic leaves the message empty and attaches these (sanic/http/http1.py, log_response).
    parts = (record.__dict__.get(key, "") for key in ("host", "request", "status", "byte"))
    return " ".join(str(part) for part in parts) + str(record.__dict__.get("duration", ""))


def _one_line(text: str) -> str:
    """Control characters as escapes, so that no client's text can forge a line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
