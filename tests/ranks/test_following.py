"""A rank that no longer has what rank 0 has says so instead of going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.ranks.following import Divergence, Following
from mlxoss.engine.ranks.messages import Begin, InsertSequence, RunStep, WarmPrompt
from tests.ranks.test_channel import make_seat
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import random_prompt

INSERT = InsertSequence(0, tuple(random_prompt(30)), 4, (), (29,), 0, (0, 0))


@pytest.fixture
def following(tmp_path: Path) -> Following:
    folder = write_checkpoint(tmp_path / "model", TinyModel(hidden=16))
    made = Following(make_seat(("127.0.0.1", 1), model=str(folder)))
    made._model = load_folder(folder)  # Load would want a group of two
    made.take(Begin(8, 1 << 24))
    return made


def test_what_is_the_same_goes_on(following: Following) -> None:
    following.take(INSERT)


@pytest.mark.parametrize(
    "message",
    [
        replace(INSERT, cached_tokens=7),
        replace(INSERT, kept=(1, 4096)),
        RunStep(32, (), (1, 4096)),
        WarmPrompt((1, 2, 3), (0, 1)),
    ],
)
def test_what_differs_is_told(
    following: Following, message: InsertSequence | RunStep | WarmPrompt
) -> None:
    with pytest.raises(Divergence, match="the prefix cache here holds"):
        following.take(message)
