"""``/mnt/data`` in a cell: where nothing is mounted, its texts are made those of the real folder.

What this cannot catch: a path that comes into being as code runs (``"/mnt" + "/data"``,
``Path("/mnt") / "data"``, one that is read from a file), and texts that do not begin with it.
"""

from __future__ import annotations

import ast

SHOWN = "/mnt/data"


class DataPaths(ast.NodeTransformer):
    """Replaces constants, those inside f-strings too, that are ``/mnt/data`` or begin below it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        """Replace one."""
        text = node.value
        if isinstance(text, str) and (text == SHOWN or text.startswith(f"{SHOWN}/")):
            node.value = self._folder + text[len(SHOWN) :]
        return node
