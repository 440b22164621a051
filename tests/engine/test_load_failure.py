"""A model that cannot be loaded: the reason, the remedy, and an engine that stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.idling import Idling
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.status import EngineState
from mlxoss.errors import ModelError, ModelUnavailable
from tests.support.checkpoints import write_checkpoint
from tests.support.engine.harness import collect, make_request, running_engine, until

pytestmark = pytest.mark.anyio

NO_MEMORY = "The model does not fit into the memory that is free"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), f"{NO_MEMORY} (MemoryError)."),
        (RuntimeError("[metal::malloc] Attempting to allocate 9 bytes"), f"{NO_MEMORY} ([metal::"),
        (RuntimeError("[malloc] Unable to allocate 9 bytes."), NO_MEMORY),
        (RuntimeError("std::bad_alloc"), NO_MEMORY),
        (RuntimeError("Command buffer: Insufficient Memory (0008)\nmore"), NO_MEMORY),
        (ModelError("The model in x cannot be loaded: out of memory"), NO_MEMORY),
        (RuntimeError("[read] Unable to read from file."), "does not suffice, or the disk fails"),
    ],
)
async def test_one_that_does_not_fit_says_what_to_do(error: Exception, words: str) -> None:
    def load() -> Backend:
        raise error

    async with running_engine(load) as running:
        await until(lambda: running.engine.status().state is EngineState.FAILED)
        why = running.engine.status().error
        assert why is not None
        assert words in why
        assert why.endswith(
            "Choose a smaller model, or end what else needs memory; then `mlxoss restart`."
        )
        with pytest.raises(ModelUnavailable, match="not available: "):
            running.engine.submit(make_request([1]))
        # The process goes on: a manager would only start it again, and again.
        assert running.fatal == []


async def test_files_that_were_cut_off_since_are_told_when_they_are_read_again(
    tmp_path: Path,
) -> None:
    source = resolve_model(str(write_checkpoint(tmp_path / "tiny")))
    weights = tmp_path / "tiny" / "model.safetensors"

    def load() -> Backend:
        return MlxBackend(source.load())

    async with running_engine(load, idling=Idling(unload_s=0.05)) as running:
        engine = running.engine
        await until(lambda: engine.status().state is EngineState.UNLOADED)
        os.truncate(weights, weights.stat().st_size // 2)
        outcome = await collect(engine.submit(make_request([1])))
        assert isinstance(outcome.error, ModelUnavailable)
        assert engine.status().state is EngineState.FAILED
        why = engine.status().error
        assert why == (
            f"The weights in {weights} are damaged: put its files back, or pull it anew; "
            "then `mlxoss restart`."
        )
        assert running.fatal == []
