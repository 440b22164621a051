"""From Ollama's chat request to that of chat completions, which knows the way from there.

In Ollama's messages a tool's answer names its tool, and calls may have no ids: they get some
(``mlxoss.api.ollama.call_ids``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from mlxoss.api.chat.answer_form import ResponseFormatParam
from mlxoss.api.chat.request import ChatMessageParam, ChatReasoning, ChatRequest, ContentPart
from mlxoss.api.chat.tools import CalledFunction, Tool, ToolCall
from mlxoss.api.errors import missing
from mlxoss.api.history.attachments import HOW_TO_GO_ON, to_note
from mlxoss.api.ollama.call_ids import CallIds
from mlxoss.api.ollama.request import OllamaChatRequest, OllamaMessageParam, OllamaOptions
from mlxoss.errors import InvalidRequest

CHATS_FORMAT = "response_format.schema"
"""What chat completions call ``format`` in their errors."""

_RANDOM_SEED = -1


def to_chat_request(request: OllamaChatRequest, ids: CallIds) -> ChatRequest:
    """The same request in the words of chat completions; ``ids`` take in all of its messages.

    Raises InvalidRequest, naming the field, for an image in the newest message of the user and
    for a tool's answer that answers nothing.
    """
    options = request.options or OllamaOptions()
    tools = [Tool(type="function", function=tool.function) for tool in request.tools or ()]
    return ChatRequest(
        model=request.model,
        messages=_History(request.messages or (), ids).to_chat(),
        stream=request.stream,
        tools=tools or None,
        reasoning=_to_reasoning(request),
        response_format=_to_response_format(request),
        logprobs=request.logprobs,
        top_logprobs=request.top_logprobs if request.logprobs else None,
        max_completion_tokens=options.num_predict if (options.num_predict or 0) > 0 else None,
        stop=options.stop,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        min_p=options.min_p,
        seed=None if options.seed == _RANDOM_SEED else options.seed,
        repetition_penalty=options.repeat_penalty,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
    )


def _to_reasoning(request: OllamaChatRequest) -> ChatReasoning | None:
    """gpt-oss always reasons, so ``false`` means little and hidden."""
    match request.think:
        case False:
            return ChatReasoning(effort="low", exclude=True)
        case True | None:
            return None
        case effort:
            return ChatReasoning(effort=effort)


def _to_response_format(request: OllamaChatRequest) -> ResponseFormatParam | None:
    match request.format:
        case None | "":
            return None
        case "json":
            return ResponseFormatParam(type="json_object", schema=None)
        case schema:
            return ResponseFormatParam(type="json_object", schema=schema)


class _History:
    """Messages on their way. ``_waiting`` are the calls, as id and name, without an answer yet."""

    def __init__(self, messages: Sequence[OllamaMessageParam], ids: CallIds) -> None:
        self._messages = messages
        self._ids = ids
        self._waiting: list[tuple[str, str]] = []
        users = (place for place, each in enumerate(messages) if each.role == "user")
        self._newest = max(users, default=-1)

    def to_chat(self) -> list[ChatMessageParam]:
        converted = []
        for place, message in enumerate(self._messages):
            converted.append(self._convert(message, place))
            self._ids.take_in(message)
        return converted

    def _convert(self, message: OllamaMessageParam, place: int) -> ChatMessageParam:
        parts = self._to_parts(message, place)
        if message.role == "tool":
            return self._to_tool_answer(message, parts, place)
        if message.role == "user":
            self._waiting.clear()
        calls = list(_to_calls(message, self._ids.behind()))
        self._waiting += [(call.id, call.name) for call in calls]
        return ChatMessageParam(
            role=message.role,
            content=parts,
            reasoning=message.thinking,
            tool_calls=calls or None,
        )

    def _to_tool_answer(
        self, message: OllamaMessageParam, parts: list[ContentPart] | None, place: int
    ) -> ChatMessageParam:
        name = message.tool_name or message.name
        call_id = message.tool_call_id or self._find_call(name)
        if call_id is not None:
            self._waiting = [each for each in self._waiting if each[0] != call_id]
            return ChatMessageParam(role="tool", content=parts, tool_call_id=call_id)
        if name is None:
            raise missing(f"messages[{place}].tool_name")
        return ChatMessageParam(role="function", content=parts, name=name)

    def _find_call(self, name: str | None) -> str | None:
        """The oldest call without an answer, of the tool if it is named."""
        found = (call_id for call_id, called in self._waiting if name in (None, called))
        return next(found, None)

    def _to_parts(self, message: OllamaMessageParam, place: int) -> list[ContentPart] | None:
        """Text, and notes in the place of images, which the newest message may not have."""
        images = message.images or ()
        is_behind_tool = place > 0 and self._messages[place - 1].role == "tool"
        if images and place == self._newest and not is_behind_tool:
            param = f"messages[{place}].images"
            raise InvalidRequest(
                f"Invalid '{param}': this model reads text only. {HOW_TO_GO_ON}",
                param=param,
                code="unsupported_content_type",
            )
        notes = [to_note({"type": "image", "data": image}) for image in images]
        texts = [text for text in (message.content, *notes) if text is not None]
        return [ContentPart(type="text", text=text) for text in texts] or None


def _to_calls(message: OllamaMessageParam, ids: Iterator[str]) -> Iterator[ToolCall]:
    for call, made in zip(message.tool_calls or (), ids, strict=False):
        arguments = json.dumps(call.function.arguments, ensure_ascii=False)
        yield ToolCall(
            id=call.id or made,
            function=CalledFunction(name=call.function.name, arguments=arguments),
        )
