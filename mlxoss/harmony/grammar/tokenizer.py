"""The vocabulary as llguidance takes it."""

from __future__ import annotations

import binascii

from llguidance import LLTokenizer, TokenizerWrapper

from mlxoss.harmony.encoding import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    END_OF_TEXT,
    FIRST_SPECIAL,
    MESSAGE,
    RETURN,
    START,
    VOCAB_SIZE,
    Encoding,
    read_vocabulary,
)

_NAMES = {
    START: "<|start|>",
    END: "<|end|>",
    MESSAGE: "<|message|>",
    CHANNEL: "<|channel|>",
    CONSTRAIN: "<|constrain|>",
    RETURN: "<|return|>",
    CALL: "<|call|>",
}

_SLICES = [r'[^"\\\x00-\x1F\x7F]{1,30}', r'[^"\\\x00-\x1F\x7F]+']
"""Tokens that llguidance takes together where a string of JSON may go on by any of them. They
change what a mask costs, and no mask. Of its own four slices these two bring nearly all: without
the second a token of a string costs 2 ms, without the first one of a string with a ``maxLength``.
Each takes a tenth of a second to make."""


def make_guard_tokenizer(encoding: Encoding) -> LLTokenizer:
    """The bundled vocabulary, for grammars. About 0.5 s, with the interpreter's lock.

    ``encoding`` says which ids a text has that a grammar leaves no choice about. Raises
    ``ModelError`` for a vocabulary that is missing or damaged.
    """
    wrapper = TokenizerWrapper(_Vocabulary(encoding))
    tokenizer = LLTokenizer(wrapper, slices=_SLICES)
    wrapper.tokens = ()  # They were copied, and the tokenizer keeps the wrapper.
    return tokenizer


class _Vocabulary:
    """What ``TokenizerWrapper`` asks for. Any thread may call it."""

    eos_token_id = END_OF_TEXT
    """Ends of turns are named in the grammar; this id never appears in one."""
    bos_token_id = None
    special_token_ids = range(FIRST_SPECIAL, VOCAB_SIZE)

    def __init__(self, encoding: Encoding) -> None:
        self._encode = encoding.encode_text

    @property
    def tokens(self) -> list[bytes]:
        """The bytes of each id, or its name. The file has the ids in their order."""
        ordinary = map(binascii.a2b_base64, read_vocabulary().split()[::2])
        names = (_NAMES.get(id_, f"<|reserved_{id_}|>") for id_ in self.special_token_ids)
        return [*ordinary, *(name.encode() for name in names)]

    def __call__(self, text: str) -> list[int]:
        """Ids of ``text``. Bytes, which the wrapper tries, are refused: it knows text as well."""
        return self._encode(text)
