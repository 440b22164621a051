"""What a scripted model writes, spelt with token names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from mlxoss.core import GenerationRequest
from mlxoss.harmony import encoding as tokens
from mlxoss.harmony.encoding import Encoding
from tests.support.fakes import ScriptedBackend

_SPECIAL_IDS = {
    "<|start|>": tokens.START,
    "<|end|>": tokens.END,
    "<|message|>": tokens.MESSAGE,
    "<|channel|>": tokens.CHANNEL,
    "<|constrain|>": tokens.CONSTRAIN,
    "<|return|>": tokens.RETURN,
    "<|call|>": tokens.CALL,
}
_SPECIAL = re.compile("(" + "|".join(map(re.escape, _SPECIAL_IDS)) + ")")

HELLO = (
    "<|channel|>analysis<|message|>They greet me.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Hello, wörld 🎉!<|return|>"
)
CALL = (
    "<|channel|>analysis<|message|>I need the weather.<|end|>"
    "<|start|>assistant<|channel|>commentary<|message|>Let me look.<|end|>"
    "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"city": "Oslo"}<|call|>'
)
AFTER_CALL = "<|channel|>final<|message|>It is sunny in Oslo.<|return|>"


def to_ids(encoding: Encoding, text: str) -> list[int]:
    """Ids of ``text``, in which the names of special tokens stand for these."""
    ids: list[int] = []
    for piece in _SPECIAL.split(text):
        special = _SPECIAL_IDS.get(piece)
        ids += encoding.encode_text(piece) if special is None else [special]
    return ids


def final(text: str) -> str:
    """A turn of nothing but its final text."""
    return f"<|channel|>final<|message|>{text}<|return|>"


def always(encoding: Encoding, text: str) -> Callable[[GenerationRequest], Sequence[int]]:
    """A script that writes ``text`` whatever is asked."""
    ids = to_ids(encoding, text)
    return lambda request: ids


def in_turn(
    encoding: Encoding, texts: Sequence[str]
) -> Callable[[GenerationRequest], Sequence[int]]:
    """A script that writes one of ``texts`` after the other, whatever is asked."""
    left = [to_ids(encoding, text) for text in texts]
    return lambda request: left.pop(0)


def by_last_words(
    encoding: Encoding, answers: dict[str, str]
) -> Callable[[GenerationRequest], Sequence[int]]:
    """A script that writes the answer whose key is in the end of the prompt."""
    ids = {key: to_ids(encoding, text) for key, text in answers.items()}

    def script(request: GenerationRequest) -> Sequence[int]:
        prompt = encoding.decode(request.prompt_ids[-60:])
        return next(answer for key, answer in ids.items() if key in prompt)

    return script


def endless(encoding: Encoding, **options: Any) -> ScriptedBackend:
    """A backend whose turns go on until their token limit, 2 ms a token."""
    ids = [*always(encoding, "<|channel|>final<|message|>")(...), *[1000] * 4000]  # type: ignore[arg-type]
    return ScriptedBackend(lambda request: ids, step_s=0.002, **options)
