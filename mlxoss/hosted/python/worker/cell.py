"""Runs a cell as a notebook does: in one module, with the value of its last expression.

The only place of the package that runs what somebody else wrote: it is imported by the worker
alone, and called once the sandbox stands and was tried.
"""

from __future__ import annotations

import ast
import builtins
import io
import linecache
import os
import sys
import tokenize
import traceback
from collections.abc import Callable
from types import CodeType, ModuleType

from mlxoss.hosted.python.worker.data_paths import DataPaths

_OURS = os.path.dirname(__file__)
_NOT_OURS = "Lines that begin with ! or % are IPython's own, and not known here.\n"
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


class Notebook:
    """The module that all cells of a container run in."""

    def __init__(self, folder: str, show: Callable[[object], object]) -> None:
        """``folder`` is ``/mnt/data``; ``show`` takes a value that may be a picture."""
        self._paths = DataPaths(folder)
        self._show = show
        self._module = ModuleType("__main__")
        self._count = 0
        self.namespace["__builtins__"] = builtins
        sys.modules["__main__"] = self._module

    @property
    def namespace(self) -> dict[str, object]:
        """The names that cells share."""
        return vars(self._module)

    def run(self, source: str) -> str:
        """Run a cell and return how it failed, in words; empty if it did not. Never raises."""
        self._count += 1
        name = f"<cell {self._count}>"
        # By it tracebacks show lines (``linecache``); without a time it is never read anew.
        linecache.cache[name] = (len(source), None, f"{source}\n".splitlines(True), name)
        try:
            steps = self._compile(source, name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return _told_of_source(error, source)
        sys.displayhook = self._echo
        try:
            for step in steps:
                exec(step, self.namespace)  # noqa: S102  # nosec B102
        except BaseException as error:  # noqa: BLE001 (it is the cell's, SystemExit too)
            return _told(error)
        return ""

    def _compile(self, source: str, name: str) -> list[CodeType]:
        """All but the last expression, and that one, whose value is shown."""
        tree = ast.parse(source, name)
        self._paths.visit(tree)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr) or ends_in_semicolon(source):
            return [compile(tree, name, "exec", dont_inherit=True)]
        whole, shown = ast.Module(tree.body[:-1], tree.type_ignores), ast.Interactive([last])
        return [
            compile(whole, name, "exec", dont_inherit=True),
            compile(shown, name, "single", dont_inherit=True),
        ]

    def _echo(self, value: object) -> None:
        """As ``sys.displayhook``, but the last value is kept among the cells' own names."""
        if value is None:
            return
        print(repr(value))  # noqa: T201
        self._show(value)
        self.namespace["_"] = value


def ends_in_semicolon(source: str) -> bool:
    """Whether the last word of ``source`` is a semicolon: a notebook shows no value then."""
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in _LAYOUT:
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        return False
    return last == ";"


def _told(error: BaseException) -> str:
    """The traceback without our own frames."""
    found = traceback.TracebackException.from_exception(error)
    _without_ours(found)
    return "".join(found.format())


def _told_of_source(error: Exception, source: str) -> str:
    text = "".join(traceback.format_exception_only(error))
    is_ipython = any(line.lstrip().startswith(("!", "%")) for line in source.splitlines())
    return text + _NOT_OURS if is_ipython else text


def _without_ours(found: traceback.TracebackException) -> None:
    waiting: list[traceback.TracebackException | None] = [found]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.stack[:] = [frame for frame in each.stack if not frame.filename.startswith(_OURS)]
        waiting += [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ())]
