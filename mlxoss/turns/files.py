"""Attached files on their way into a prompt."""

from __future__ import annotations

from collections.abc import Iterable

from mlxoss.api.history.attachments import HOW_TO_GO_ON
from mlxoss.api.history.files import Attached, to_source
from mlxoss.documents import reader  # noqa: F401 (an upgrade may remove the files later)
from mlxoss.errors import FileUnreadable, InvalidRequest
from mlxoss.turns.context import TurnContext

_CHARS_PER_TOKEN = 16
"""More than any text has on the average: what is longer than the context's times this is in no
case a prompt, and need not be counted in tokens."""


async def read_files(context: TurnContext, found: Iterable[Attached]) -> None:
    """Read what the request attaches, and put it into the request.

    What cannot be read and is required raises InvalidRequest that names the field; anything else
    stays, for a note.
    """
    most_chars = context.context_tokens * _CHARS_PER_TOKEN
    for attached in list(found):
        try:
            source = to_source(attached.part)
            text = await context.files.read(source, most_chars, is_new=attached.is_required)
        except FileUnreadable as error:
            if attached.is_required:
                raise _refuse(error, attached) from None
        else:
            attached.put(text)


def _refuse(error: FileUnreadable, attached: Attached) -> InvalidRequest:
    param = f"{attached.where}.{error.param}"
    message = f"Invalid '{param}': {error.reason}. {HOW_TO_GO_ON}"
    return InvalidRequest(message, param=param, code=error.code)
