"""The exception tree as HTTP, in OpenAI's error shape. The one place that maps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlxoss.errors import (
    ClientTooSlow,
    GenerationFailed,
    InvalidRequest,
    MlxossError,
    ModelUnavailable,
    NotFound,
    QueueFull,
    RequestError,
    StoreUnavailable,
    TurnTimedOut,
)

SERVER_FAILURE = "The server had an error while processing your request."
"""What a client reads when something broke that is not its fault; details go to the log."""


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error as a client sees it: the status and the fields of OpenAI's ``error`` object."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    retry_after_s: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer, or of an ``error`` event inside a stream."""
        fields = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": fields}


def to_http_error(error: BaseException) -> HttpError:
    """Map ``error`` as ``mlxoss.errors`` draws it; anything unknown is a 500 without details."""
    match error:
        case QueueFull():
            return HttpError(
                429,
                str(error),
                type="rate_limit_error",
                code=error.code,
                retry_after_s=error.retry_after_s,
            )
        case NotFound():
            return HttpError(404, str(error), param=error.param, code=error.code)
        case InvalidRequest() | RequestError():
            return HttpError(400, str(error), param=error.param, code=error.code)
        case ModelUnavailable():
            return HttpError(
                503, str(error), type="service_unavailable_error", code="model_unavailable"
            )
        case ClientTooSlow():
            return HttpError(408, str(error), code="client_too_slow")
        case TurnTimedOut():
            return HttpError(504, str(error), type="server_error", code="request_timeout")
        case GenerationFailed():
            return HttpError(500, str(error), type="server_error", code="generation_failed")
        case StoreUnavailable():
            return HttpError(503, str(error), type="server_error", code="store_unavailable")
        case MlxossError():
            return HttpError(500, SERVER_FAILURE, type="server_error", code="server_error")
        case _:
            return HttpError(500, SERVER_FAILURE, type="server_error", code="server_error")
