"""What clients meet where the memory holds less than the model could read."""

from __future__ import annotations

import dataclasses

import openai
import pytest

from mlxoss.engine.status import EngineState
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until


@pytest.fixture
def backend(encoding: Encoding) -> ScriptedBackend:
    return ScriptedBackend(always(encoding, HELLO), most_tokens=90)


@pytest.fixture
def server(serve: Serve, backend: ScriptedBackend) -> Server:
    server = serve(backend)
    until(lambda: server.services.engine.status().state is EngineState.OK)
    return server


def test_the_memory_bounds_the_context(server: Server) -> None:
    client = server.client()
    (listed,) = client.models.list().data
    assert listed.to_dict()["context_length"] == 90
    assert ask(server, "GET", "/health").json["context_tokens"] == 90
    assert client.responses.create(model="m", input="Hi", max_output_tokens=4000).usage is not None


@pytest.mark.parametrize("streamed", [False, True])
def test_a_prompt_that_never_fits_is_a_400_with_the_numbers(
    server: Server, backend: ScriptedBackend, streamed: bool
) -> None:
    client = server.client()
    with pytest.raises(
        openai.BadRequestError, match=r"holds 90 tokens .* has \d+ tokens"
    ) as caught:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "word " * 200}], stream=streamed
        )
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input="word " * 200, stream=streamed)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    assert backend.inserted == []


def test_whether_somebody_waits_reaches_the_engine(
    server: Server, backend: ScriptedBackend
) -> None:
    client = server.client()
    client.responses.create(model="m", input="Hi")
    kept = client.responses.create(model="m", input="Hi", background=True)
    until(lambda: client.responses.retrieve(kept.id).status == "completed")
    assert [request.is_background for request in backend.inserted] == [False, True]
    assert dataclasses.replace(backend.inserted[1], is_background=False) == backend.inserted[0]
