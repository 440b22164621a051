"""One name, one thing: no public class stands in two files."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.modules import modules

KNOWN: dict[str, int] = {
    "Channel": 2,
    "Choice": 2,
    "Conversation": 2,
    "Found": 2,
    "Host": 2,
    "Link": 3,
    "Load": 2,
    "Loaded": 2,
    "Model": 2,
    "Pace": 2,
    "Ranks": 2,
    "Ready": 2,
    "Reasoning": 2,
    "Remove": 2,
    "Report": 2,
    "Row": 2,
    "Run": 2,
    "Unload": 2,
    "Warm": 2,
    "Wish": 2,
}
"""Names that still stand in several files, and in how many: to be emptied, never to grow."""


def test_no_public_class_name_stands_twice() -> None:
    files: defaultdict[str, set[str]] = defaultdict(set)
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].add(name)
    assert {name: len(found) for name, found in files.items() if len(found) > 1} == KNOWN
