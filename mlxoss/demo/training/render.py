"""Examples to token ids: the server's own prompt, and the turn as gpt-oss writes it."""

from __future__ import annotations

from dataclasses import replace

from mlxoss.demo.training.conversations import Example, Turn
from mlxoss.harmony.conversation import (
    FinalText,
    FunctionCall,
    FunctionResult,
    Item,
    Preamble,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    MESSAGE,
    RETURN,
    START,
    Encoding,
)
from mlxoss.harmony.prompt import render_prompt


def _body(encoding: Encoding, channel: str, text: str, prefix: str = "") -> list[int]:
    rest = text.removeprefix(prefix)
    header = [CHANNEL, *encoding.encode_text(channel), MESSAGE]
    return [*header, *encoding.encode_text(prefix), *encoding.encode_text(rest)]


def _written(encoding: Encoding, item: Item, final_prefix: str) -> list[int]:
    match item:
        case Reasoning(text):
            return [*_body(encoding, "analysis", text), END]
        case Preamble(text):
            return [*_body(encoding, "commentary", text), END]
        case FinalText(text):
            return [*_body(encoding, "final", text, final_prefix), RETURN]
        case FunctionCall(name, arguments):
            header = encoding.encode_text(f"commentary to=functions.{name} ")
            kind = [CONSTRAIN, *encoding.encode_text("json"), MESSAGE]
            return [CHANNEL, *header, *kind, *encoding.encode_text(arguments), CALL]
        case _:
            raise TypeError(f"the model does not write {item!r}")


def turn_ids(encoding: Encoding, turn: Turn, final_prefix: str = "") -> list[int]:
    """What the model is to write after ``<|start|>assistant``, its stop token included."""
    again = [START, *encoding.encode_text("assistant")]
    ids: list[int] = []
    for item in turn:
        ids += [*(again if ids else []), *_written(encoding, item, final_prefix)]
    return ids


def _split(items: tuple[Item, ...]) -> tuple[tuple[Item, ...], Turn, FunctionResult]:
    """The items up to the last user text, the turn written then, and the result."""
    last = max(i for i, item in enumerate(items) if isinstance(item, UserText))
    *written, result = items[last + 1 :]
    turn = tuple(item for item in written if isinstance(item, Reasoning | Preamble | FunctionCall))
    if not isinstance(result, FunctionResult):
        raise TypeError(f"a verbatim history ends with a result, not {result!r}")
    return items[: last + 1], turn, result


def _result_ids(encoding: Encoding, result: FunctionResult) -> list[int]:
    head = [START, *encoding.encode_text(f"functions.{result.name} to=assistant")]
    body = _body(encoding, "commentary", result.output)
    return [*head, *body, END, START, *encoding.encode_text("assistant")]


def prompt_ids(encoding: Encoding, example: Example) -> list[int]:
    """The prompt as the server renders it, with the last call as written if ``verbatim``."""
    conversation = example.conversation
    if not example.verbatim:
        return render_prompt(encoding, conversation)
    before, turn, result = _split(conversation.items)
    prompt = render_prompt(encoding, replace(conversation, items=before))
    return [*prompt, *turn_ids(encoding, turn), *_result_ids(encoding, result)]


def example_ids(encoding: Encoding, example: Example) -> tuple[list[int], list[int]]:
    """Prompt and turn of ``example``."""
    turn = turn_ids(encoding, example.turn, example.final_prefix)
    return prompt_ids(encoding, example), turn
