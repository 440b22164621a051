"""A pytest plugin: what a failed test left open fails no other test.

A failed test's traceback keeps its frames, and so its sockets, alive until the next test runs
(``sys.last_exc``). Every warning is an error here: closed by the garbage collector then, they
would fail that test instead.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Generator

import pytest

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether any part of the test fails."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """After a test that failed, collect what it left, in silence."""
    result = yield
    if item.stash.get(_FAILED, False):
        _collect()
    return result


def _collect() -> None:
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        # What a finaliser lets go of is found by the next round.
        for _ in range(3):
            gc.collect()
