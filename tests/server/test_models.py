"""The list of models, in the shape that each client asks for."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic.types import ModelInfo

from mlxoss.config import Config
from tests.server.conftest import Connect, Serve
from tests.support.api.strict import check
from tests.support.http import Answer, ask
from tests.support.server.contract import Contract
from tests.support.server.harness import DATE, Server
from tests.support.server.scripts import HELLO

NAME = "tiny/gpt-oss"
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


@pytest.fixture
def client(server: Server, connect: Connect) -> anthropic.Anthropic:
    return connect(server.url)


def listed(server: Server, query: str = "") -> Answer:
    return ask(server, "GET", f"/v1/models{query}", headers=VERSION)


def test_anthropics_client_lists_it(server: Server, client: anthropic.Anthropic) -> None:
    (model,) = client.models.list()
    assert model == client.models.retrieve(NAME)
    assert (model.id, model.type, model.lifecycle) == (NAME, "model", "active")
    assert model.created_at.timestamp() == 1_700_000_000
    (told,) = listed(server).json["data"]
    check(ModelInfo, told)
    assert set(told) == set(ModelInfo.model_fields)
    assert ask(server, "GET", f"/v1/models/{NAME}", headers=VERSION).json == told


def test_it_tells_what_messages_can_do(client: anthropic.Anthropic) -> None:
    told = client.models.retrieve(NAME).capabilities
    assert told is not None
    assert told.thinking.types.adaptive.supported
    assert not told.image_input.supported
    assert told.pdf_input.supported
    for kind in ("adaptive", "enabled", "disabled", "between_tools"):
        fields = {"budget_tokens": 2000} if kind == "enabled" else {}
        thinking = {"type": kind, **fields}
        is_taken = getattr(told.thinking.types, kind).supported
        try:
            client.messages.create(
                model="m",
                max_tokens=4000,
                messages=[{"role": "user", "content": "Hello!"}],
                extra_body={"thinking": thinking},
            )
        except anthropic.BadRequestError:
            assert not is_taken, kind
        else:
            assert is_taken, kind


def test_its_tokens_are_those_that_are_served(serve: Serve, connect: Connect) -> None:
    server = serve(HELLO, config=Config(date=DATE, context_length=80))
    (model,) = connect(server.url).models.list()
    assert (model.max_input_tokens, model.max_tokens) == (80, 80)


def test_pages_of_one_model(server: Server, client: anthropic.Anthropic) -> None:
    whole = listed(server).json
    assert (whole["first_id"], whole["last_id"], whole["has_more"]) == (NAME, NAME, False)
    none: Any = {"data": [], "first_id": None, "last_id": None, "has_more": False}
    for query, told in [
        ("?limit=1", whole),
        ("?limit=1000&after_id=", whole),
        (f"?after_id={NAME}", none),
        (f"?before_id={NAME}", none),
        ("?lifecycle[]=retired&lifecycle[]=deprecated", none),
        ("?lifecycle[]=retired&lifecycle[]=active", whole),
    ]:
        answer = listed(server, query)
        assert answer.status == 200
        assert answer.json == told, query
    assert list(client.models.list(limit=5, after_id=NAME)) == []
    assert list(client.models.list(lifecycle=["retired"])) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=x", "limit"),
        ("?after_id=claude", "after_id"),
        ("?before_id=claude", "before_id"),
        ("?lifecycle[]=young", "lifecycle"),
    ],
)
def test_a_page_that_is_none_is_refused(server: Server, query: str, field: str) -> None:
    answer = listed(server, query)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert f"'{field}'" in answer.json["error"]["message"]


def test_errors_are_in_the_shape_that_is_asked_for(
    server: Server, client: anthropic.Anthropic
) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("claude")
    assert caught.value.request_id
    path = "/v1/models/claude"
    answer = ask(server, "GET", path, headers=VERSION)
    assert answer.json["error"]["type"] == "not_found_error"
    assert answer.headers["request-id"] == answer.json["request_id"]
    assert ask(server, "GET", path).error["code"] == "model_not_found"


def test_everyone_else_gets_openais(server: Server) -> None:
    contract = Contract(server)
    for headers, shape in [({}, "list"), (VERSION, None)]:
        for path in ("/v1/models", f"/v1/models/{NAME.replace('/', '%2F')}"):
            answer = ask(server, "GET", path, headers=headers)
            contract.check("GET", path, answer)
            assert ask(server, "HEAD", path, headers=headers).status == 200
        listing = ask(server, "GET", "/v1/models", headers=headers).json
        assert listing.get("object") == shape
