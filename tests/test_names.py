"""One name, one thing: no public class stands in two files."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path

import mlxoss
from tests.support.modules import modules


def test_no_public_class_name_stands_twice() -> None:
    files: defaultdict[str, set[str]] = defaultdict(set)
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].add(name)
    assert {name: found for name, found in files.items() if len(found) > 1} == {}


def test_no_folder_is_crowded() -> None:
    files = Counter(path.parent for path in Path(mlxoss.__file__).parent.rglob("*.py"))
    assert {folder.name: count for folder, count in files.items() if count > 20} == {}
