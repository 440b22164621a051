from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.tokenizer import make_guard_tokenizer
from tests.support import leftovers

# A busy machine makes nothing wrong.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


_SLOW_FOLDERS = ("clients", "ranks")
"""What they hold starts foreign clients, or several processes that share a model."""

_SLOW_FIXTURES = {"box", "mac", "network"}
"""These are machines with a service manager, or an sshd, of their own."""


ON_CPU = Path(__file__).parent / "support" / "on_cpu"
"""In PYTHONPATH it has MLX compute on the CPU."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by what it uses what no file marks itself, before marks select what runs."""
    for item in items:
        uses = _SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if uses or item.path.parent.name in _SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin here, since ``pytest`` alone has no path to it; set signals right."""
    config.pluginmanager.register(leftovers)
    # A shell starts what runs in the background with SIGINT ignored, and so would be what tests
    # start, some of which they end by it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("TEST_ON_CPU"):
        _compute_on_cpu()


def _compute_on_cpu() -> None:
    """Here, and in the processes that tests start."""
    from tests.support.on_cpu import sitecustomize

    sitecustomize.choose_cpu()
    folders = [str(ON_CPU), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(folders)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lone surrogates, which some tests send and log, cannot go from one process to another."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a unix socket's, which has 103 bytes on macOS: its
    temporary folders have up to 90."""
    folder = Path(tempfile.mkdtemp(prefix="mlxoss-", dir="/tmp")).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def encoding() -> Encoding:
    """The encoding, loaded once for all."""
    return load_encoding()


@pytest.fixture(scope="session")
def guards(encoding: Encoding) -> GrammarCompiler:
    """One for all: making the tokenizer takes its time."""
    return GrammarCompiler(lambda: make_guard_tokenizer(encoding))
