"""What the prompts of many conversations begin with: the system's and the developer's messages."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlxoss.harmony.boundaries import DEVELOPER, SYSTEM, USER
from mlxoss.harmony.encoding import END, MESSAGE, START, Encoding

_DATE = re.compile(r"(?<=^Current date: )\d{4}-\d\d-\d\d$", re.MULTILINE)
"""As openai-harmony writes it into the system's message."""

NO_DAY = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Head:
    """A prompt's leading messages ``ids``, with the next one's ``<|start|>``, whatever the day.

    ``opening`` tells the conversations that begin with it from each other, in this process.
    """

    ids: tuple[int, ...]
    opening: int


def read_head(encoding: Encoding, prompt_ids: Sequence[int], most_tokens: int) -> Head | None:
    """The head of a prompt; ``None`` if it has none of at most ``most_tokens`` that ends."""
    start = 0
    while True:
        try:
            end = prompt_ids.index(END, start, most_tokens) + 1
        except ValueError:
            return None
        start_id, *role = prompt_ids[end : end + 2] or [END]
        if start_id != START or not role:
            return None
        if role[0] not in (SYSTEM, DEVELOPER):
            break
        start = end
    undated = redate(encoding, prompt_ids[: end + 1], NO_DAY)
    return Head(undated, hash(tuple(prompt_ids[end + 1 : _end(prompt_ids, end)])))


def redate(encoding: Encoding, ids: Sequence[int], day: datetime.date) -> tuple[int, ...]:
    """``ids`` with ``day`` in the system's message, as it is rendered on that day."""
    begin, end = ids.index(MESSAGE) + 1, ids.index(END)
    text = _DATE.sub(day.isoformat(), encoding.decode(ids[begin:end]), count=1)
    return (*ids[:begin], *encoding.encode_text(text), *ids[end:])


def to_prompt(head_ids: tuple[int, ...]) -> tuple[int, ...]:
    """A prompt that begins with ``head_ids``: what is kept of one ends before its last id."""
    return (*head_ids, USER)


def _end(ids: Sequence[int], start: int) -> int:
    try:
        return ids.index(END, start)
    except ValueError:
        return len(ids)
