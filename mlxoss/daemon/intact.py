"""Whether an installation of mlxoss is whole and loads, by the very Python that would serve it.

An installer writes a package's list of files (``RECORD``) last, and some packages after others. So
what is listed and not there is still to come, or was lost. Source: Recording installed projects
(PyPA specifications).
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from mlxoss import __version__
from mlxoss.core import JsonObject
from mlxoss.errors import ServiceError

_LOADED = ("mlxoss.daemon.assemble", "mlxoss.engine.mlx.batch")
"""By these comes all that serves: the server, and MLX with what runs a model."""

_NAME = re.compile(r"[\w.-]+", re.A)


def describe_installation() -> JsonObject:
    """Its ``version``, and the ``python`` that runs it.

    Raises ``ServiceError`` if files lack, or if it does not load. Seconds.
    """
    for missing in find_missing():
        raise ServiceError(f"this installation is not whole: there is no {missing}")
    for name in _LOADED:
        _load(name)
    return {"version": __version__, "python": sys.executable}


def _load(name: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ServiceError(f"it does not load: {type(error).__name__}: {error}") from error


def find_missing() -> Iterator[str]:
    """The files of mlxoss and of all that it needs which are not there, and missing packages."""
    seen, needs = {"mlxoss"}, [("mlxoss", True)]
    while needs:
        name, is_certain = needs.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if is_certain:
                yield f"package {name}"
            continue
        yield from _missing_of(found)
        new = [each for each in _needs(found) if each[0] not in seen]
        seen.update(name for name, _ in new)
        needs += new


def _missing_of(found: Distribution) -> Iterator[str]:
    for file in found.files or ():
        # Compiled files have no hash there: Python makes them anew.
        if file.hash is not None and not os.path.isfile(file.locate()):
            yield str(file.locate())


def _needs(found: Distribution) -> Iterator[tuple[str, bool]]:
    """What it needs, and whether everywhere: a need with a condition may be another machine's."""
    for need in found.requires or ():
        wanted, _, condition = need.partition(";")
        if "extra" not in condition and (name := _NAME.match(wanted)):
            yield re.sub(r"[-_.]+", "-", name[0]).lower(), not condition
