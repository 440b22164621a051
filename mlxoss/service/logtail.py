"""Reads logs that another process writes, turns over or cuts."""

from __future__ import annotations

import datetime
import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlxoss.errors import ConfigError
from mlxoss.service.supervisor import Polling

_AGO = re.compile(r"(\d+)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LINE = re.compile(
    r"(?P<time>\S+Z) (?P<level>[a-z]+) +(?P<logger>[\w.]+): (?P<message>.*)", re.DOTALL
)
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def rotated(path: Path) -> list[Path]:
    """Return the files that exist, oldest first: ``name.2``, ``name.1``, ``name``."""
    older = [p for p in path.parent.glob(f"{path.name}.*") if p.suffix[1:].isdigit()]
    older.sort(key=lambda p: int(p.suffix[1:]), reverse=True)
    return [*older, *([path] if path.exists() else [])]


def read_lines(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the lines of all files in turn, without their ends."""
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                yield from (line.rstrip("\n") for line in file)
        except FileNotFoundError:  # turned over while we read
            continue


def last_lines(lines: Iterable[str], count: int) -> list[str]:
    """Return the last ``count`` lines."""
    return list(deque(lines, maxlen=count))


def parse_since(text: str, now: datetime.datetime) -> str:
    """Turn ``10m``, ``2h``, ``3d`` or a date and time into a stamp to compare lines with (UTC).

    A time without a zone is local. Raises ``ConfigError``.
    """
    if found := _AGO.fullmatch(text.strip()):
        moment = now - datetime.timedelta(**{_UNITS[found[2]]: int(found[1])})
    else:
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(
                f"--since must be like 10m, 2h, 3d or 2026-01-31T09:30, not {text!r}.",
                key="--since",
                source="command line",
            ) from None
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_line(line: str) -> dict[str, str | None]:
    """Return a line's ``time``, ``level``, ``logger`` and ``message``.

    All but the message are ``None`` in a line that the log did not begin (a traceback's).
    """
    found = _LINE.fullmatch(line)
    return found.groupdict() if found else dict.fromkeys(_LINE.groupindex) | {"message": line}


def since(lines: Iterable[str], stamp: str) -> Iterator[str]:
    """Yield the lines from ``stamp`` on; a line without a time belongs to the one before it."""
    reached = False
    for line in lines:
        if found := _STAMP.match(line):
            reached = found[0] >= stamp
        if reached:
            yield line


def follow(path: Path, pace: Polling) -> Iterator[str]:
    """Yield what is appended to ``path`` from now on, for ever, by name.

    The file may be missing at first; when it is replaced (turned over) or gets shorter (cut
    in place), the new one is read from its beginning. Yields ``""`` at each idle moment, so
    that a caller can stop.
    """
    position = path.stat().st_size if path.exists() else 0
    inode = path.stat().st_ino if path.exists() else None
    partial = b""
    while True:
        try:
            info = path.stat()
            if info.st_ino != inode or info.st_size < position:
                position, inode, partial = 0, info.st_ino, b""
            with path.open("rb") as file:
                file.seek(position)
                data = file.read()
        except FileNotFoundError:
            data = b""
        position += len(data)
        *whole, partial = (partial + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
        if not data:
            yield ""
            pace.sleep(pace.poll_s)


def cut(path: Path, *, most_bytes: int = 5_000_000, keep_bytes: int = 100_000) -> bool:
    """Cut a log that its writer never turns over, keeping its end in ``path.1``.

    Done in place: whoever holds it open for appending goes on writing to it. Returns
    whether it was longer than ``most_bytes``. Raises ``OSError``.
    """
    if not path.exists() or path.stat().st_size <= most_bytes:
        return False
    with path.open("rb+") as file:
        file.seek(-keep_bytes, 2)
        tail = file.read()
        kept = path.with_name(path.name + ".1")
        kept.touch(mode=0o600)
        kept.write_bytes(tail.partition(b"\n")[2])
        file.truncate(0)
    return True
