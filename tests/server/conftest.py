from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import anthropic
import openai
import pytest

from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.leaning import Leaning
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import Server, running
from tests.support.server.messages import ANSWERS
from tests.support.server.scripts import always, by_last_words
from tests.support.waiting import HANG_S

Serve = Callable[..., Server]
Connect = Callable[[str], anthropic.Anthropic]


@pytest.fixture
def serve(encoding: Encoding) -> Iterator[Serve]:
    """Start servers that live as long as the test: of a backend, or of what the model writes."""
    with ExitStack() as stack:

        def start(backend: Backend | str, **options: object) -> Server:
            if isinstance(backend, str):
                backend = ScriptedBackend(always(encoding, backend))
            return stack.enter_context(running(lambda: backend, lambda: encoding, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Anthropic's official client of a server; without retries, so that errors are seen."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(
            anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=HANG_S)
        )


@pytest.fixture
def talker(encoding: Encoding) -> ScriptedBackend:
    """A model that says what ``tests.support.server.messages`` has for it."""
    return ScriptedBackend(by_last_words(encoding, ANSWERS))


@pytest.fixture
def talking(serve: Serve, talker: ScriptedBackend) -> Server:
    """The server of ``talker``."""
    return serve(talker)


@pytest.fixture
def claude(talking: Server, connect: Connect) -> anthropic.Anthropic:
    """Anthropic's client of ``talking``."""
    return connect(talking.url)


@pytest.fixture(scope="module")
def leaning(
    tmp_path_factory: pytest.TempPathFactory, guards: GrammarCompiler, encoding: Encoding
) -> Iterator[openai.OpenAI]:
    """The official client of a server whose random model leans towards the ends of things."""
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, TinyModel(hidden=16))

    def load() -> Backend:
        return MlxBackend(Leaning(load_folder(folder)))

    with running(load, lambda: encoding, guards=guards) as server:
        yield server.client(timeout=300.0)


@pytest.fixture
def logged_errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """For tests that provoke errors: what was logged as one so far."""
    return lambda: [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ]


@pytest.fixture(autouse=True)
def _nothing_logged_as_error(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    if "logged_errors" not in request.fixturenames:
        records = [*caplog.get_records("setup"), *caplog.get_records("call")]
        assert [r for r in records if r.levelno >= logging.ERROR] == []
