"""The demo model, expanded once for all tests of a run."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model

from mlxoss.core import Effort
from mlxoss.demo import expand_demo
from mlxoss.harmony.conversation import (
    Conversation,
    FunctionTool,
    Item,
    ResponseFormat,
    UserText,
)
from mlxoss.harmony.encoding import STOP_IDS, Encoding
from mlxoss.harmony.prompt import render_prompt

Say = Callable[..., str]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return expand_demo(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def model(folder: Path) -> Any:
    return load_model(folder, strict=True)[0]


@pytest.fixture
def say(model: Any, encoding: Encoding) -> Say:
    """Asks the demo greedily; what it says is the text of its whole turn."""

    def turn(
        *items: Item | str,
        effort: Effort = Effort.LOW,
        instructions: str | None = None,
        tools: tuple[FunctionTool, ...] = (),
        response_format: ResponseFormat | None = None,
    ) -> str:
        conversation = Conversation(
            tuple(UserText(item) if isinstance(item, str) else item for item in items),
            datetime.date(2026, 3, 5),
            instructions=instructions,
            tools=tools,
            response_format=response_format,
            effort=effort,
        )
        prompt = render_prompt(encoding, conversation)
        return encoding.decode(greedy(model, prompt, 80))

    return turn


def greedy(model: Any, prompt: list[int], limit: int) -> list[int]:
    """The most likely continuation, its stop token included if it comes in time."""
    cache = model.make_cache()
    out: list[int] = []
    tokens = prompt
    while len(out) < limit and not (out and out[-1] in STOP_IDS):
        hidden = model.model(mx.array([tokens]), cache)[:, -1:]
        tokens = [int(np.array(mx.argmax(model.lm_head(hidden)[0, -1])))]
        out += tokens
    return out
