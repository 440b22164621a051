"""How ``tools`` of ``/health`` is told in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def to_words(found: object) -> Iterator[str]:
    """What is enabled; nothing of what an older server does not tell."""
    if not isinstance(found, Mapping):
        return
    if found.get("python"):
        yield "python"
    if back_end := found.get("browser"):
        yield f"browser ({back_end})"
    if labels := found.get("mcp"):
        yield f"MCP ({', '.join(map(str, labels))})"


def tools_rows(found: object) -> Iterator[tuple[str, str]]:
    """A row for what is enabled, with what it did since the server's start."""
    words = ", ".join(to_words(found))
    if not words or not isinstance(found, Mapping):
        return
    calls = found.get("calls")
    used = [_to_use(str(name), each) for name, each in calls.items()] if calls else []
    yield "tools", "; ".join([words, *used])


def _to_use(name: str, counts: Mapping[str, float]) -> str:
    calls, failures = int(counts["calls"]), int(counts["failures"])
    failed = f", {failures} failed" if failures else ""
    return f"{name} {calls} call{'' if calls == 1 else 's'} in {counts['seconds']:.1f} s{failed}"
