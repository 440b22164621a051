"""Every endpoint with data made from the server's own description, right and wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as said

from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.fakes import ScriptedBackend
from tests.support.http import Answer, ask
from tests.support.server.budget import EXAMPLES, SEED
from tests.support.server.contract import Contract
from tests.support.server.harness import Server, running
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    said.status_code_conformance,
    said.content_type_conformance,
    said.response_schema_conformance,
    said.response_headers_conformance,
    said.negative_data_rejection,
]
USER: Any = {"role": "user", "content": "Hello!"}


@pytest.fixture(scope="module")
def server(encoding: Encoding, guards: GrammarCompiler) -> Iterator[Server]:
    backend = ScriptedBackend(always(encoding, HELLO))
    with running(lambda: backend, lambda: encoding, guards=guards) as server:
        yield server


@pytest.fixture(scope="module")
def contract(server: Server) -> Contract:
    return Contract(server)


def make_ids(contract: Contract) -> dict[str, str]:
    """Ids of what is there, by the names that paths give them."""
    response = contract.ask("POST", "/v1/responses", model="m", input="Hello!", background=True)
    conversation = contract.ask("POST", "/v1/conversations", items=[USER]).json["id"]
    items = contract.ask("GET", f"/v1/conversations/{conversation}/items").json
    return {
        "response_id": response.json["id"],
        "conversation_id": conversation,
        "item_id": items["first_id"],
        "model_id": "tiny/gpt-oss",
    }


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_operation(server: Server, contract: Contract, mode: GenerationMode) -> None:
    print("MLXOSS_FUZZ_SEED =", SEED)  # noqa: T201
    schema = schemathesis.openapi.from_dict(contract.document)
    for operation in (found.ok() for found in schema.get_all_operations()):
        if mode is GenerationMode.POSITIVE or can_be_wrong(operation):
            try_operation(server, contract, operation, mode)
    until(lambda: ask(server, "GET", "/health").json["active_requests"] == 0)


def can_be_wrong(operation: Any) -> bool:
    """Whether there is anything but ids, which may be any text."""
    return bool(operation.body or operation.query)


def mend(case: Any, ids: dict[str, str]) -> None:
    """What a schema cannot say: ids of what is there, messages that make sense together."""
    case.path_parameters = {name: ids[name] for name in case.path_parameters or ()}
    body = case.body
    if not isinstance(body, dict):
        return
    if "messages" in body:
        plain = [one for one in listed(body["messages"]) if is_plain(one)]
        body["messages"] = [*plain, USER]
    for name, known in (
        ("previous_response_id", "response_id"),
        ("conversation", "conversation_id"),
    ):
        if isinstance(body.get(name), str):
            body[name] = ids[known]
    if body.get("previous_response_id") is not None:
        body.pop("conversation", None)
    elif not body.get("input"):
        body["input"] = "Hello!"


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_plain(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("system", "developer", "user")
        and isinstance(message.get("content"), str)
    )


def try_operation(server: Server, contract: Contract, operation: Any, mode: GenerationMode) -> None:
    ids = make_ids(contract)

    @hypothesis.seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def send(case: Any, is_known: bool) -> None:
        if is_known:
            mend(case, ids)
        answer = session.request(**case.as_transport_kwargs(base_url=server.url), timeout=120)
        case.validate_response(answer, checks=CHECKS)
        received = Answer(
            answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content
        )
        contract.check(operation.method, operation.path, received)

    with requests.Session() as session:
        send()
