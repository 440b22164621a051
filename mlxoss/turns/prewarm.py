"""After a final: what the next turn's prompt will begin with, computed before it is asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Sequence

from mlxoss.harmony.conversation import Conversation, FinalText
from mlxoss.harmony.encoding import RETURN, Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.read_turn import read_turn
from mlxoss.turns.context import TurnContext
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)


def prepare_next_turn(turn: Turn, context: TurnContext, encoding: Encoding) -> None:
    """Have the engine compute the history that ``turn`` leaves, when it has nothing else to do.

    The reasoning before a final is no part of the next prompt, so what the engine keeps of the
    turn itself is of no use to that. Returns at once.
    """
    cache = context.engine.status().prefix_cache
    token_ids = turn.token_ids
    if turn.conversation is None:
        return
    if context.is_stopping or cache is None or not cache.limit_bytes or len(token_ids) != 1:
        return
    prepare = functools.partial(_prepare, context, encoding, turn.conversation, token_ids[0])
    # On another thread: a long prompt takes a tenth of a second to render.
    asyncio.get_running_loop().run_in_executor(None, prepare).add_done_callback(_log_failure)


def render_next_prompt(
    encoding: Encoding, conversation: Conversation, token_ids: Sequence[int]
) -> tuple[int, ...] | None:
    """The prompt of a turn after the one of ``token_ids``; ``None`` unless that gave a final."""
    if list(token_ids[-1:]) != [RETURN]:
        return None
    turn = read_turn(encoding, token_ids, conversation.functions, conversation.builtin_recipients)
    if not turn.items or not isinstance(turn.items[-1], FinalText):
        return None
    longer = dataclasses.replace(conversation, items=(*conversation.items, *turn.items))
    return tuple(render_prompt(encoding, longer))


def _prepare(
    context: TurnContext, encoding: Encoding, conversation: Conversation, token_ids: Sequence[int]
) -> None:
    prompt_ids = render_next_prompt(encoding, conversation, token_ids)
    if prompt_ids is not None and len(prompt_ids) < context.context_tokens:
        context.engine.warm(prompt_ids)


def _log_failure(future: asyncio.Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()):
        logger.warning("the next turn could not be prepared", exc_info=error)
