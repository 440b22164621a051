"""How ``tools`` of ``/health`` is told in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard


def to_words(found: object) -> Iterator[str]:
    """What is enabled; nothing of what an older server does not tell."""
    if not _is(found):
        return
    if found.get("python"):
        yield "python"
    if back_end := found.get("browser"):
        yield f"browser ({back_end})"
    labels = found.get("mcp")
    if isinstance(labels, list) and labels:
        yield f"MCP ({', '.join(map(str, labels))})"


def tools_rows(found: object) -> Iterator[tuple[str, str]]:
    """A row for what is enabled, and one for what that did since the server's start."""
    words = ", ".join(to_words(found))
    if not words or not _is(found):
        return
    yield "tools", words
    calls = found.get("calls")
    used = [_to_use(str(name), each) for name, each in calls.items()] if _is(calls) else []
    if used:
        yield "", "; ".join(used)


def _to_use(name: str, counts: object) -> str:
    calls, seconds, failures = (_number(counts, key) for key in ("calls", "seconds", "failures"))
    failed = f", {failures:.0f} failed" if failures else ""
    return f"{name} {calls:,.0f} call{'' if calls == 1 else 's'} in {seconds:.1f} s{failed}"


def _is(found: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(found, Mapping)


def _number(counts: object, key: str) -> float:
    value = counts.get(key) if isinstance(counts, Mapping) else None
    return value if isinstance(value, (int, float)) else 0
