"""No two files of the package import each other, however far round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.support.modules import imports_of, modules

KNOWN: frozenset[frozenset[str]] = frozenset()
"""Circles that are still there: to be emptied, never to grow."""


def test_imports_make_no_circle() -> None:
    graph = {name: set(imports_of(name)) - {name} for name in modules()}
    assert set(circles(graph)) == KNOWN


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"d"} - {"d"}}
    assert list(circles(graph)) == [{"a", "b", "c"}]


def circles(graph: Mapping[str, set[str]]) -> Iterator[frozenset[str]]:
    """The sets of more than one node that all reach each other."""
    reached = {node: _reach(graph, node) for node in graph}
    seen: set[str] = set()
    for node in graph:
        if node not in seen and node in reached[node]:
            circle = frozenset(each for each in reached[node] if node in reached[each])
            seen |= circle
            yield circle


def _reach(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """What is behind ``start``: itself only if that lies on a circle."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph[node]
    return found
