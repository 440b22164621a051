"""The exception tree as HTTP, in the error shapes of OpenAI, Anthropic and Ollama.

The one place for it. Beside it are the makers of errors that name a field.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlxoss.errors import (
    ClientTooSlow,
    ContextLengthExceeded,
    GenerationFailed,
    InvalidRequest,
    ModelUnavailable,
    NotFound,
    QueueFull,
    RequestError,
    StoreUnavailable,
    TurnTimedOut,
)

if TYPE_CHECKING:
    from mlxoss.api.answers import Error, MessagesError, MessagesErrorType, OllamaError

SERVER_FAILURE = "The server had an error while processing your request."
"""What a client reads when something broke that is not its fault; details go to the log."""

CLIENT_LEFT = 499
"""The status noted for a client that closed the connection (nginx's number for it)."""

_MESSAGES_TYPES: MappingProxyType[int, MessagesErrorType] = MappingProxyType(
    {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
    }
)
"""Anthropic's words for statuses (its API reference, "Errors"); the others go by their class."""


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error as a client sees it: the status and the fields of OpenAI's ``error`` object.

    ``prompt_excess`` are a prompt's tokens and the most there may be, where it has too many.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    retry_after_s: int | None = None
    prompt_excess: tuple[int, int] | None = None

    @property
    def body(self) -> Error:
        """The JSON of the answer, or of an ``error`` event inside a stream."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def to_messages_body(self, request_id: str) -> MessagesError:
        """The same in Anthropic's shape, which names no field but in the message."""
        other: MessagesErrorType = "invalid_request_error" if self.status < 500 else "api_error"
        message = self._naming_message
        if self.prompt_excess is not None:
            # These are the words that clients look for before they shorten the conversation.
            tokens, most = self.prompt_excess
            message = f"prompt is too long: {tokens} tokens > {most} maximum. {self.message}"
        return {
            "type": "error",
            "error": {"type": _MESSAGES_TYPES.get(self.status, other), "message": message},
            "request_id": request_id,
        }

    @property
    def ollama_body(self) -> OllamaError:
        """The same in Ollama's shape, which has nothing but a message."""
        return {"error": self._naming_message}

    @property
    def _naming_message(self) -> str:
        if self.param is None or self.param in self.message:
            return self.message
        return f"{self.param}: {self.message}"


class HttpRefusal(Exception):
    """A request refused for its HTTP, not for what it asks."""

    def __init__(self, error: HttpError) -> None:
        super().__init__(error.message)
        self.error = error


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
        case ContextLengthExceeded():
            excess = (error.prompt_tokens, error.most_tokens)
            return HttpError(
                400, str(error), param=error.param, code=error.code, prompt_excess=excess
            )
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
        case _:
            return HttpError(500, SERVER_FAILURE, type="server_error", code="server_error")


def unsupported(param: str, reason: str) -> InvalidRequest:
    """The error for a value that would change the answer and cannot be honoured."""
    return InvalidRequest(
        f"Unsupported value for '{param}': {reason}.", param=param, code="unsupported_value"
    )


def missing(param: str) -> InvalidRequest:
    """The error for a field that has to be there."""
    return InvalidRequest(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def invalid(param: str, reason: str) -> InvalidRequest:
    """The error for a value that makes no sense in its place."""
    return InvalidRequest(f"Invalid '{param}': {reason}.", param=param, code="invalid_value")
