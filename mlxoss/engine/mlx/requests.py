"""What a request may not hold, whatever the model."""

from __future__ import annotations

from mlxoss.core import GenerationRequest
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.encoding import VOCAB_SIZE


def check_ids(ids: tuple[int, ...], vocab_size: int) -> None:
    """Raise ``ValueError`` for a prompt that is empty or leaves the vocabulary."""
    if not ids:
        raise ValueError("the prompt is empty")
    # MLX does not check indices: one beyond the table reads other memory.
    if min(ids) < 0 or max(ids) >= vocab_size:
        raise ValueError(f"a prompt id is outside the vocabulary of {vocab_size}")


def check_request(request: GenerationRequest, vocab_size: int) -> None:
    """Raise ``ValueError`` as ``check_ids`` does, and ``InvalidRequest`` for a bias of no token."""
    check_ids(request.prompt_ids, vocab_size)
    if request.grammar is not None and vocab_size != VOCAB_SIZE:
        raise ValueError(f"grammars are about {VOCAB_SIZE} tokens, not {vocab_size}")
    for token_id in request.sampling.logit_bias:
        if not 0 <= token_id < vocab_size:
            raise InvalidRequest(
                f"Token id {token_id} is outside the vocabulary of {vocab_size}.",
                param="logit_bias",
            )
