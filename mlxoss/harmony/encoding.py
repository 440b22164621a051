"""The o200k_harmony encoding, loaded from the bundled vocabulary: no network, ever."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import openai_harmony

from mlxoss.core import VOCAB_SIZE as VOCAB_SIZE
from mlxoss.errors import ModelError
from mlxoss.harmony.text_pieces import split_long_runs

VOCABULARY_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
VOCABULARY_NAME = "o200k_base.tiktoken"

START = 200_006
END = 200_007
MESSAGE = 200_008
CHANNEL = 200_005
CONSTRAIN = 200_003
RETURN = 200_002
CALL = 200_012

STOP_IDS = frozenset({RETURN, CALL})
"""What ends the assistant's turn. ``<|end|>`` does not: the final follows the analysis."""

FIRST_SPECIAL = 199_998
END_OF_TEXT = 199_999

_BASE_VARIABLE = "TIKTOKEN_ENCODINGS_BASE"


def is_special(token_id: int) -> bool:
    """Whether ``token_id`` is a control or reserved token rather than a piece of text."""
    return token_id >= FIRST_SPECIAL


def replace_lone_surrogates(text: str) -> str:
    """``text`` as valid Unicode: surrogate pairs joined, each lone surrogate as U+FFFD.

    JSON can spell a lone surrogate (``"\\ud800"``); UTF-8, and so the vocabulary, cannot.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Encoding:
    """Text and messages to token ids and back. Immutable; any thread may use it."""

    vocab_size = VOCAB_SIZE

    def __init__(self, library: openai_harmony.HarmonyEncoding) -> None:
        self._library = library

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as ordinary text: no special id, whatever strings it holds."""
        ids: list[int] = []
        for piece in split_long_runs(replace_lone_surrogates(text)):
            ids += self._library.encode(piece, disallowed_special=())
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """The exact bytes of one token, possibly a part of a UTF-8 sequence.

        A special token's bytes are its name. Raises ``ValueError`` outside the vocabulary.
        """
        if not 0 <= token_id < VOCAB_SIZE:
            raise ValueError(f"{token_id} is not a token id (0 to {VOCAB_SIZE - 1})")
        escaped: str = self._library.decode([token_id], errors="surrogateescape")
        return escaped.encode("utf-8", "surrogateescape")

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` with special tokens by name and bad UTF-8 replaced: for logs."""
        text: str = self._library.decode(ids)
        return text

    def render_message(
        self, message: openai_harmony.Message, has_function_tools: bool
    ) -> list[int]:
        """Ids of one whole message, ``<|start|>`` to ``<|end|>`` or ``<|call|>``.

        ``has_function_tools`` adds the line about the commentary channel to a system
        message. The message's strings hold no lone surrogates and its contents no long
        runs (see ``split_long_runs``); several contents are rendered without anything
        between them.
        """
        options = openai_harmony.RenderOptions(conversation_has_function_tools=has_function_tools)
        ids: list[int] = self._library.render(message, options)
        return ids


def load_encoding(vocabulary: Path | None = None) -> Encoding:
    """Load the encoding from ``vocabulary``, by default the bundled file. About 0.4 s.

    The library holds the interpreter's lock throughout. It finds the file through
    ``TIKTOKEN_ENCODINGS_BASE``, which is set in the process's environment meanwhile, so
    no other thread may rely on that variable then. Raises ``ModelError`` for a file that
    is missing or not the one expected.
    """
    with _bundled(vocabulary) as path:
        read_vocabulary(path)
        with _environment(_BASE_VARIABLE, str(path.parent)):
            return Encoding(
                openai_harmony.load_harmony_encoding(
                    openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS
                )
            )


def read_vocabulary(vocabulary: Path | None = None) -> bytes:
    """The file ``vocabulary``, by default the bundled one: a base64 token and its id per line.

    Raises ``ModelError`` for a file that is missing or not the one expected.
    """
    with _bundled(vocabulary) as path:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"The vocabulary {path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != VOCABULARY_SHA256:
        raise ModelError(f"The vocabulary {path} is damaged. Install mlxoss again.")
    return data


@contextmanager
def _bundled(vocabulary: Path | None) -> Iterator[Path]:
    if vocabulary is not None:
        yield vocabulary
        return
    bundled = resources.files("mlxoss.harmony") / "vocab" / VOCABULARY_NAME
    with resources.as_file(bundled) as path:
        yield path


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
