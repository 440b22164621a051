"""Putting a turn's exact ids back into a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from mlxoss.harmony.encoding import CALL, CHANNEL, END, MESSAGE, RETURN, START

_BODY_ENDS = frozenset({START, CHANNEL, END, CALL, RETURN})


def speaks_only_as(role: Sequence[int], token_ids: Sequence[int]) -> bool:
    """Whether every message that ``token_ids`` start is in the name of ``role``.

    A turn in which the model wrote in another role's name must not come back as
    that role's words.
    """
    return all(
        list(token_ids[index + 1 : index + 1 + len(role)]) == list(role)
        for index, token_id in enumerate(token_ids)
        if token_id == START
    )


def close_turn(token_ids: Sequence[int]) -> list[int]:
    """``token_ids`` as history: whole messages only.

    A trailing ``<|return|>`` becomes ``<|end|>`` (openai/harmony ``docs/format.md``). A
    turn cut inside a message gets its ``<|end|>``; one cut inside a header loses that
    header. Empty if there is no message at all.
    """
    ids = list(token_ids)
    if ids and ids[-1] == RETURN:
        return [*ids[:-1], END]
    if ids and ids[-1] in (END, CALL):
        return ids
    if MESSAGE not in ids:
        return []
    body = len(ids) - ids[::-1].index(MESSAGE)
    end = next((i for i in range(body, len(ids)) if ids[i] in _BODY_ENDS), len(ids))
    if end < len(ids) and ids[end] in (END, CALL):
        return ids[: end + 1]
    return [*ids[:end], END]
