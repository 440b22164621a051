from __future__ import annotations

import pytest

from mlxoss import errors
from mlxoss.api.errors import SERVER_FAILURE, to_http_error

TABLE: list[tuple[BaseException, int, str, str | None, str | None]] = [
    (
        errors.InvalidRequest("no", param="n", code="c"),
        400,
        "invalid_request_error",
        "n",
        "c",
    ),
    (
        errors.ContextLengthExceeded(9, 8, param="messages"),
        400,
        "invalid_request_error",
        "messages",
        "context_length_exceeded",
    ),
    (errors.NotFound("no", code="c"), 404, "invalid_request_error", None, "c"),
    (
        errors.QueueFull("no", retry_after_s=3),
        429,
        "rate_limit_error",
        None,
        "rate_limit_exceeded",
    ),
    (errors.GenerationFailed("no"), 500, "server_error", None, "generation_failed"),
    (errors.ModelUnavailable("no"), 503, "service_unavailable_error", None, "model_unavailable"),
    (errors.ModelError("secret"), 500, "server_error", None, "server_error"),
    (ValueError("secret"), 500, "server_error", None, "server_error"),
]


@pytest.mark.parametrize(
    ("error", "status", "type_", "param", "code"), TABLE, ids=[type(r[0]).__name__ for r in TABLE]
)
def test_the_table(
    error: BaseException, status: int, type_: str, param: str | None, code: str | None
) -> None:
    mapped = to_http_error(error)
    assert mapped.status == status
    message = SERVER_FAILURE if "secret" in str(error) else str(error)
    assert mapped.body == {
        "error": {"message": message, "type": type_, "param": param, "code": code}
    }


def test_a_full_queue_says_when_to_come_back() -> None:
    assert to_http_error(errors.QueueFull("no", retry_after_s=3)).retry_after_s == 3
    assert to_http_error(errors.InvalidRequest("no")).retry_after_s is None
