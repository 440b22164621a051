"""The stream of a chat completion, as its request wants it."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlxoss.api.chat.request import ChatRequest
from mlxoss.api.chat.stream import ChatOptions, ChatStream
from mlxoss.api.common import CompletionHeader
from mlxoss.api.hosted.citations import FindPage
from mlxoss.harmony.encoding import Encoding
from mlxoss.ids import new_id
from mlxoss.turns.context import TurnContext


def make_chat_stream(
    chat: ChatRequest,
    context: TurnContext,
    encoding: Encoding,
    make_call_id: Callable[[int], str],
    cite: FindPage | None = None,
) -> ChatStream:
    """The stream of ``chat``'s answer; ``cite`` gives the pages that it cites."""
    usage = chat.stream_options
    options = ChatOptions(
        customs=[tool.name for tool in chat.tools or () if tool.custom is not None],
        hide_reasoning=bool(chat.reasoning and chat.reasoning.exclude),
        include_usage=not chat.stream or bool(usage and usage.include_usage),
        has_logprobs=bool(chat.logprobs),
        choices=chat.n or 1,
        cite=cite,
    )
    return ChatStream(
        CompletionHeader(new_id("chatcmpl-"), int(time.time()), context.model.name),
        options,
        token_bytes=encoding.token_bytes,
        make_call_id=make_call_id,
    )
