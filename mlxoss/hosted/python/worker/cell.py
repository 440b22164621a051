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
from types import ModuleType

from mlxoss.hosted.python.worker.data_paths import DataPaths

_OURS = os.path.dirname(__file__)
_NOT_OURS = "Lines that begin with ! or % are IPython's own, and not known here."
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

    def __init__(self, folder: str) -> None:
        self._paths = DataPaths(folder)
        self._module = ModuleType("__main__")
        self._count = 0
        sys.modules["__main__"] = self._module

    @property
    def namespace(self) -> dict[str, object]:
        """The names that cells share."""
        return vars(self._module)

    def run(self, source: str) -> None:
        """Run a cell; what it prints and how it fails goes to standard output. Never raises."""
        self._count += 1
        name = f"<cell {self._count}>"
        # By it tracebacks show lines (``linecache``); without a time it is never read anew.
        linecache.cache[name] = (len(source), None, f"{source}\n".splitlines(True), name)
        sys.displayhook = self._echo
        try:
            tree = self._parse(source, name)
            if tree is not None:
                self._run(source, tree, name)
        except BaseException as error:  # noqa: BLE001 (it is the cell's, SystemExit too)
            print(told(error), end="")  # noqa: T201

    def _parse(self, source: str, name: str) -> ast.Module | None:
        """The cell's tree, or ``None`` after saying why there is none."""
        try:
            tree = ast.parse(source, name)
            self._paths.visit(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            print("".join(traceback.format_exception_only(error)), end="")  # noqa: T201
            if any(line.lstrip().startswith(("!", "%")) for line in source.splitlines()):
                print(_NOT_OURS)  # noqa: T201
            return None
        return tree

    def _run(self, source: str, tree: ast.Module, name: str) -> None:
        last = tree.body[-1] if tree.body else None
        is_echoed = isinstance(last, ast.Expr) and not ends_in_semicolon(source)
        body, echoed = (tree.body[:-1], [last]) if is_echoed else (tree.body, [])
        whole = ast.Module(body, tree.type_ignores)
        namespace = self.namespace
        exec(compile(whole, name, "exec", dont_inherit=True), namespace)  # noqa: S102  # nosec B102
        shown = ast.Interactive(echoed)
        exec(compile(shown, name, "single", dont_inherit=True), namespace)  # noqa: S102  # nosec B102

    def _echo(self, value: object) -> None:
        """As ``sys.displayhook``, but the last value is kept among the cells' own names."""
        if value is None:
            return
        print(repr(value))  # noqa: T201
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


def told(error: BaseException) -> str:
    """The traceback without our own frames."""
    found = traceback.TracebackException.from_exception(error)
    _without_ours(found)
    return "".join(found.format())


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


def prepare(notebook: Notebook, display: object) -> None:
    """Give cells what a notebook's have besides Python's own."""
    notebook.namespace["__builtins__"] = builtins
    notebook.namespace["display"] = display
