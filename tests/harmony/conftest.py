"""The encoding, ours and the library's own, loaded once for all tests of Harmony."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import openai_harmony
import pytest

import mlxoss.harmony

VOCABULARY_FOLDER = Path(mlxoss.harmony.__file__).parent / "vocab"


@pytest.fixture(scope="session")
def library() -> openai_harmony.HarmonyEncoding:
    """openai-harmony used directly, to compare with."""
    with mock.patch.dict(os.environ, TIKTOKEN_ENCODINGS_BASE=str(VOCABULARY_FOLDER)):
        return openai_harmony.load_harmony_encoding("HarmonyGptOss")
