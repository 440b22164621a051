"""What can go wrong with the Hub, in one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mlxoss.errors import ModelError


@contextmanager
def in_one_sentence(name: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub and the disk raise while ``name`` is pulled into ``ModelError``."""
    try:
        yield
    except (HTTPError, HFValidationError, OSError) as error:
        raise ModelError(_sentence(error, name, endpoint)) from error


def _sentence(error: Exception, name: str, endpoint: str) -> str:
    match error:
        case HFValidationError():
            return f"{name!r} is not a Hugging Face id; one looks like org/name."
        case GatedRepoError():
            return (
                f"{name} is gated: accept its terms at {endpoint}/{name}, "
                "then log in with: hf auth login"
            )
        case RepositoryNotFoundError():
            return f"{name} is unknown at {endpoint} (or private, and you are not logged in)."
        case RevisionNotFoundError():
            return f"{name} has no such revision; see {endpoint}/{name}/tree/main."
        case HfHubHTTPError():
            status = error.response.status_code
            return f"{endpoint} answered with HTTP {status} for {name}; try again later."
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set, so nothing can be pulled."
        case HTTPError() | LocalEntryNotFoundError() | ConnectionError() | TimeoutError():
            return (
                f"{endpoint} cannot be reached; check the network. "
                "What was downloaded is kept: pull again to go on."
            )
        case _:
            why = getattr(error, "strerror", None) or str(error)
            return f"{name} cannot be stored: {why}."
