"""The one exception tree.

::

    MlxossError
    ├── ConfigError              a setting is wrong; starting again cannot help
    ├── ModelError               the model is missing, damaged or not gpt_oss; likewise
    │   └── ModelDenied          it is there, and this program may not read it
    ├── ServiceError             the service manager refused, or the set-up would not work
    ├── RequestError             this request cannot be served as asked
    │   ├── InvalidRequest       400, names the field
    │   │   ├── ContextLengthExceeded
    │   │   │   └── MemoryExceeded
    │   │   └── FileUnreadable   an attached file that cannot be shown to the model
    │   ├── NotFound             404
    │   └── QueueFull            429, says when to try again
    │       └── TooManyOfKey     this key has as many requests in progress as it may
    ├── EngineError              the request was fine, the engine was not
    │   ├── ModelUnavailable     503: loading failed, or the daemon is stopping
    │   │   └── RanksLost        a part of the model is gone, and the process is ending
    │   ├── GenerationFailed     500: an exception while this request ran
    │   │   └── NotANumber       the model computed nothing that one could choose from
    │   ├── ClientTooSlow        never a status: an event in a stream that was read too slowly
    │   ├── TurnTimedOut         504: the request took longer than the server's bound
    │   └── GenerationCancelled  never sent: its own caller took the request back
    └── StoreError               what is kept on disk cannot be read or written
        ├── StoreFull            no room: on the disk, or within the store's own bound
        ├── StoreDamaged         the database is broken
        ├── StoreRefused         the database is a newer mlxoss's, or another program's
        └── StoreUnavailable     503: what is asked for lies where it cannot be read now

``mlxoss.api.errors`` maps it to HTTP, once.
"""

from __future__ import annotations


class MlxossError(Exception):
    """Every error that mlxoss raises on purpose."""


class ConfigError(MlxossError):
    """A setting is wrong.

    ``key`` is its name as the user wrote it, ``source`` where it came from: a
    file's path, ``environment`` or ``command line``.
    """

    def __init__(self, message: str, *, key: str | None = None, source: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.source = source


class ModelError(MlxossError):
    """The model cannot be used: missing, damaged, or not of the ``gpt_oss`` type."""


class ModelDenied(ModelError):
    """The model is there, and the system does not let this program read it: no pull helps."""


class ServiceError(MlxossError):
    """The service cannot be installed, started or stopped as things are.

    ``remedy`` says what to do about it, ``None`` when the message already does.
    """

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class RequestError(MlxossError):
    """This request cannot be served as asked.

    ``param`` names the offending field in OpenAI's dotted form
    (``messages[0].content``), ``code`` is OpenAI's machine-readable word.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class InvalidRequest(RequestError):
    """A field has a value that cannot be honoured (HTTP 400)."""


class ContextLengthExceeded(InvalidRequest):
    """The prompt alone is longer than the context (HTTP 400, ``context_length_exceeded``)."""

    def __init__(self, prompt_tokens: int, context_tokens: int, *, param: str) -> None:
        super().__init__(
            f"This model's maximum context length is {context_tokens} tokens, "
            f"but the prompt has {prompt_tokens} tokens.",
            param=param,
            code="context_length_exceeded",
        )
        self.prompt_tokens = prompt_tokens
        self.most_tokens = context_tokens


class MemoryExceeded(ContextLengthExceeded):
    """The prompt alone is longer than what the memory holds beside the model (HTTP 400)."""

    def __init__(self, prompt_tokens: int, most_tokens: int, *, param: str | None = None) -> None:
        InvalidRequest.__init__(
            self,
            f"This server's memory holds {most_tokens} tokens beside the model, but the prompt has "
            f"{prompt_tokens} tokens. Its setting memory_limit may allow more.",
            param=param,
            code="context_length_exceeded",
        )
        self.prompt_tokens = prompt_tokens
        self.most_tokens = most_tokens


class FileUnreadable(InvalidRequest):
    """An attached file cannot be shown to the model as text (HTTP 400).

    ``reason`` is half a sentence about the file. Whoever reads a file knows not where it stands:
    ``at`` says that.
    """

    def __init__(
        self, reason: str, *, param: str | None = None, code: str = "invalid_value"
    ) -> None:
        super().__init__(f"Invalid '{param}': {reason}.", param=param, code=code)
        self.reason = reason

    def at(self, param: str) -> FileUnreadable:
        """The same about the field ``param``."""
        return FileUnreadable(self.reason, param=param, code=self.code or "invalid_value")


class NotFound(RequestError):
    """The named object does not exist (HTTP 404)."""


class QueueFull(RequestError):
    """All slots and waiting places are taken (HTTP 429); try again in ``retry_after_s``."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, code="rate_limit_exceeded")
        self.retry_after_s = retry_after_s


class TooManyOfKey(QueueFull):
    """The API key has as many requests in progress as one may have (HTTP 429)."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.code = "too_many_requests_of_key"


class EngineError(MlxossError):
    """The request was fine, the engine was not."""


class ModelUnavailable(EngineError):
    """No model to answer with: loading failed, or the daemon is stopping (HTTP 503)."""


class RanksLost(ModelUnavailable):
    """A machine that holds a part of the model is gone: the process ends, to be started anew."""


class GenerationFailed(EngineError):
    """An exception ended this request while it ran (HTTP 500, or an event in a stream)."""


class NotANumber(GenerationFailed):
    """What the model computed for this request is no number."""

    def __init__(self) -> None:
        super().__init__(
            "The model's output is not a number, so there is nothing to choose from: its weights "
            "may be damaged (pull it anew), or too wide for float16 (--fp16)."
        )


class ClientTooSlow(EngineError):
    """The client did not take what was written for it (408, as an event in its stream)."""


class TurnTimedOut(EngineError):
    """The turn took longer than the server gives one (HTTP 504, or an event in a stream)."""


class GenerationCancelled(EngineError):
    """``Generation.cancel`` was called: the one ending its iterator reports afterwards."""


class StoreError(MlxossError):
    """What is kept on disk cannot be read or written; the message names the file.

    Raised while the store is opened, it says what to do. Raised later, it concerns one
    operation: the store serves on.
    """


class StoreFull(StoreError):
    """No room: the disk is full, or the store's own bound has no space for this."""


class StoreDamaged(StoreError):
    """The database is broken, or no database; opening it anew moves it aside."""


class StoreRefused(StoreError):
    """The file is sound but not for this mlxoss to touch; opening again cannot help."""


class StoreUnavailable(StoreError):
    """What is asked for may be in a store that cannot be used until the daemon starts again.

    HTTP 503. The message is for clients: it names no file.
    """
