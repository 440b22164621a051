"""Text that the model knows little of, as agents put before a question: what comes with Python.

It is the language's manual (``pydoc_data.topics``) and the source of modules that have to do with
files and commands. Nothing of it is shipped: it teaches what to leave aside.
"""

from __future__ import annotations

import argparse
import http.server
import inspect
import mailbox
import os
import pathlib
import pdb
import random
import shutil
import subprocess
import tarfile
import tempfile
import unittest.case
import zipfile
from functools import cache

_MODULES = (
    argparse, http.server, mailbox, os, pathlib, pdb, shutil, subprocess, tarfile, tempfile,
    unittest.case, zipfile,
)  # fmt: skip


@cache
def _manual() -> str:
    from pydoc_data import topics  # type: ignore[attr-defined, unused-ignore]

    return "\n\n".join(topics.topics[name] for name in sorted(topics.topics))


@cache
def _sources() -> str:
    return "\n\n".join(map(inspect.getsource, _MODULES))


def prose(rng: random.Random, characters: int) -> str:
    """So much of it from anywhere, cut at spaces, its lines sometimes joined."""
    whole = _manual() if rng.random() < 0.5 else _sources()
    begin = whole.index(" ", rng.randrange(len(whole) - characters - 500)) + 1
    text = whole[begin : begin + characters].rpartition(" ")[0].strip() or "It is so."
    return " ".join(text.split()) if rng.random() < 0.4 else text


def line(rng: random.Random, characters: int) -> str:
    """The same on one line, as a tool's description."""
    return " ".join(prose(rng, characters).split())
