"""The bundled vocabulary and the encoding made of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import openai_harmony
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxoss.errors import ModelError
from mlxoss.harmony.encoding import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    MESSAGE,
    RETURN,
    START,
    STOP_IDS,
    VOCAB_SIZE,
    VOCABULARY_NAME,
    VOCABULARY_SHA256,
    Encoding,
    is_special,
    load_encoding,
    replace_lone_surrogates,
)
from tests.harmony.conftest import VOCABULARY_FOLDER

SPECIALS = {
    "<|start|>": START,
    "<|end|>": END,
    "<|message|>": MESSAGE,
    "<|channel|>": CHANNEL,
    "<|constrain|>": CONSTRAIN,
    "<|return|>": RETURN,
    "<|call|>": CALL,
    "<|startoftext|>": 199_998,
    "<|endoftext|>": 199_999,
    "<|reserved_200000|>": 200_000,
    "<|reserved_201087|>": 201_087,
}

ANY_TEXT = st.text(st.characters(categories=None))
"""Every code point, lone surrogates among them."""


def test_the_bundled_vocabulary_is_the_published_one() -> None:
    content = (VOCABULARY_FOLDER / VOCABULARY_NAME).read_bytes()
    assert len(content) == 3_613_922
    assert hashlib.sha256(content).hexdigest() == VOCABULARY_SHA256
    assert VOCABULARY_SHA256 in (VOCABULARY_FOLDER / "NOTICE").read_text()


@pytest.mark.parametrize("before", [None, "/nowhere"])
def test_loading_leaves_the_environment_as_it_was(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIKTOKEN_ENCODINGS_BASE", raising=False)
    if before is not None:
        monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", before)
    load_encoding()
    assert os.environ.get("TIKTOKEN_ENCODINGS_BASE") == before


def test_a_damaged_vocabulary_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / VOCABULARY_NAME
    shutil.copyfile(VOCABULARY_FOLDER / VOCABULARY_NAME, damaged)
    with damaged.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    with pytest.raises(ModelError, match="damaged"):
        load_encoding(damaged)


def test_a_missing_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoding(tmp_path / VOCABULARY_NAME)


def test_the_constants_are_the_library_s(library: openai_harmony.HarmonyEncoding) -> None:
    for name, token_id in SPECIALS.items():
        assert library.encode(name, allowed_special="all") == [token_id]
    assert set(library.stop_tokens_for_assistant_actions()) == STOP_IDS
    assert library.is_special_token(199_998)
    assert not library.is_special_token(199_997)


@pytest.mark.parametrize(("name", "token_id"), SPECIALS.items())
def test_special_tokens(encoding: Encoding, name: str, token_id: int) -> None:
    assert is_special(token_id)
    assert encoding.token_bytes(token_id) == name.encode()
    assert encoding.decode([token_id]) == name
    as_text = encoding.encode_text(name)
    assert not any(is_special(one) for one in as_text)
    assert encoding.decode(as_text) == name


@pytest.mark.parametrize("token_id", [-1, VOCAB_SIZE, 2**40])
def test_ids_outside_the_vocabulary(encoding: Encoding, token_id: int) -> None:
    with pytest.raises(ValueError, match="not a token id"):
        encoding.token_bytes(token_id)


def test_every_id_has_bytes(encoding: Encoding) -> None:
    pieces = [encoding.token_bytes(token_id) for token_id in range(encoding.vocab_size)]
    assert all(pieces)
    ordinary = pieces[:199_998]
    assert len(set(ordinary)) == len(ordinary)
    assert {bytes([value]) for value in range(256)} <= set(ordinary)


def test_a_character_split_over_tokens_keeps_its_bytes(encoding: Encoding) -> None:
    ids = encoding.encode_text("🜁")
    assert len(ids) > 1
    assert b"".join(encoding.token_bytes(one) for one in ids) == "🜁".encode()
    assert encoding.decode(ids[:-1]) == "\ufffd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_lone_surrogates(encoding: Encoding, text: str, expected: str) -> None:
    assert replace_lone_surrogates(text) == expected
    assert encoding.decode(encoding.encode_text(text)) == expected


@settings(deadline=None, print_blob=True)
@given(text=ANY_TEXT)
def test_any_text_round_trips(encoding: Encoding, text: str) -> None:
    ids = encoding.encode_text(text)
    assert not any(is_special(one) for one in ids)
    valid = replace_lone_surrogates(text)
    assert encoding.decode(ids) == valid
    assert b"".join(encoding.token_bytes(one) for one in ids) == valid.encode()


@settings(deadline=None, print_blob=True)
@given(pieces=st.lists(st.sampled_from([*SPECIALS, "<|", "|>", "<", " ", "end", "é"])))
def test_special_strings_in_any_mixture_stay_text(encoding: Encoding, pieces: list[str]) -> None:
    text = "".join(pieces)
    ids = encoding.encode_text(text)
    assert not any(is_special(one) for one in ids)
    assert encoding.decode(ids) == text
