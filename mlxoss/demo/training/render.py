"""Examples to token ids: the server's own prompt, and the turn as gpt-oss writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlxoss.demo.training.templates.examples import Example, Hosted, Turn
from mlxoss.harmony.builtins import BROWSER, PYTHON
from mlxoss.harmony.conversation import (
    BuiltinCall,
    BuiltinResult,
    Conversation,
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
from mlxoss.harmony.prompt import render_prompt, render_results

Span = tuple[int, int]
"""The first place of a part of the prompt, and the one after its last."""

_LEAST_SPAN = 4
"""Shorter texts are taken as they are."""


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
        case BuiltinCall(recipient, text):
            header = encoding.encode_text(f"analysis to={recipient} code")
            return [CHANNEL, *header, MESSAGE, *encoding.encode_text(text), CALL]
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


def _hosted_ids(encoding: Encoding, conversation: Conversation, hosted: Hosted) -> list[int]:
    """The prompt with the model's own tools in its system message, and what they have answered."""
    shown = tuple(builtin for builtin in (BROWSER, PYTHON) if builtin.name in hosted.tools)
    ids = render_prompt(encoding, replace(conversation, builtins=shown))
    again = [START, *encoding.encode_text("assistant")]
    for item in hosted.course:
        if isinstance(item, BuiltinResult):
            ids += render_results(encoding, [item])
        else:
            ids += _written(encoding, item, "")
            ids += again if isinstance(item, Reasoning) else []
    return ids


def prompt_ids(encoding: Encoding, example: Example) -> list[int]:
    """The prompt as the server renders it, with the last call as written if ``verbatim``."""
    conversation = example.conversation
    if example.hosted:
        return _hosted_ids(encoding, conversation, example.hosted)
    if not example.verbatim:
        return render_prompt(encoding, conversation)
    before, turn, result = _split(conversation.items)
    prompt = render_prompt(encoding, replace(conversation, items=before))
    return [*prompt, *turn_ids(encoding, turn), *_result_ids(encoding, result)]


def example_ids(encoding: Encoding, example: Example) -> tuple[list[int], list[int]]:
    """Prompt and turn of ``example``."""
    turn = turn_ids(encoding, example.turn, example.final_prefix)
    return prompt_ids(encoding, example), turn


def far_spans(encoding: Encoding, far: Sequence[str], prompt: Sequence[int]) -> list[Span]:
    """Where the texts of ``far`` lie in ``prompt``, without their ends, which may be other ids."""
    spans = []
    joined = _as_text(prompt)
    for text in far:
        inner = _as_text(encoding.encode_text(text)[2:-2])
        at = joined.find(inner) if len(inner) > _LEAST_SPAN else -1
        if at >= 0:
            spans.append((at, at + len(inner)))
    return sorted(set(spans))


def _as_text(ids: Sequence[int]) -> str:
    """One character an id, to search in; none of them is a surrogate."""
    return "".join(chr(token + 0xE000) for token in ids)
