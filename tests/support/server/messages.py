"""Messages as Anthropic's official client asks for them and reads them."""

from __future__ import annotations

from typing import Any

import anthropic

from tests.support.server.scripts import AFTER_CALL, CALL, HELLO, final

USER: Any = {"role": "user", "content": "Hello!"}
ASKED: Any = {"role": "user", "content": "Weather?"}
SHOWN: Any = {"type": "adaptive"}
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
ANSWERS = {"Weather": CALL, "sunny": AFTER_CALL, "Hello": HELLO, "Count": final("1, 2, 3, 4")}
"""What the scripted model says, by what the prompt ends with."""


def create(client: Any, *messages: Any, **fields: Any) -> Any:
    """A whole answer, checked against the client's own type."""
    wanted = {"model": "claude", "max_tokens": 300, "messages": messages or [USER]} | fields
    message = client.messages.create(**wanted)
    anthropic.types.Message.model_validate(message.to_dict(), strict=True)
    return message


def stream(client: Any, *messages: Any, **fields: Any) -> tuple[list[Any], Any]:
    """The events, and the message that the client makes of them."""
    wanted = {"model": "claude", "max_tokens": 300, "messages": messages or [USER]} | fields
    with client.messages.stream(**wanted) as events:
        return [event.type for event in events], events.get_final_message()
