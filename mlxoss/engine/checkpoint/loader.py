"""From what the user calls a model to its weights in memory.

Finding it takes milliseconds and no MLX, so that a wrong name is an error at once; loading it
happens on the engine's thread. Neither ever touches the network.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlxoss import paths
from mlxoss.core import ModelInfo
from mlxoss.engine.capacity import Footprint
from mlxoss.engine.checkpoint.config import read_config
from mlxoss.engine.checkpoint.folder import NOT_SERVED, Checkpoint, read_checkpoint
from mlxoss.engine.checkpoint.tensors import unreadable
from mlxoss.errors import ModelError
from mlxoss.model_pins import read_pins

if TYPE_CHECKING:
    from mlxoss.engine.mlx.batch import LanguageModel

logger = logging.getLogger(__name__)

_EXAMPLE = "mlx-community/gpt-oss-20b-MXFP4-Q8"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that was found. ``folder`` and ``checkpoint``, what its headers say, are ``None`` for
    the bundled demo until it is loaded."""

    info: ModelInfo
    folder: Path | None
    cache_dir: Path | None = None
    checkpoint: Checkpoint | None = None

    @property
    def weights_bytes(self) -> int:
        """What the weights take on the disk, and about that in memory; 0 for the bundled demo."""
        return 0 if self.checkpoint is None else self.checkpoint.weights_bytes

    def footprint(self, *, has_metal: bool) -> Footprint:
        """What it takes once loaded, by its headers; the demo's by what it was made with."""
        if self.checkpoint is not None:
            return self.checkpoint.footprint(has_metal=has_metal)
        from mlxoss.demo import DEMO_BYTES, read_demo_config

        return Footprint(read_config(read_demo_config()), DEMO_BYTES, 4)

    def load(self, *, fp16: bool = False, fused: bool = True) -> LanguageModel:
        """Read the weights into memory. The engine's thread; seconds for a real model.

        ``fp16`` and ``fused`` are as for ``load_folder``. Raises ``ModelError`` when the files do
        not make up a gpt_oss model after all, also where they have changed since they were found.
        """
        if self.folder is not None:
            advice = "put its files back, or pull it anew; then `mlxoss restart`"
            read_checkpoint(self.folder, advice)
        return load_folder(self.find_folder(), fp16=fp16, fused=fused)

    def find_folder(self) -> Path:
        """The checkpoint's folder; the demo's is made if need be, or ``ModelError``."""
        if self.folder is not None:
            return self.folder
        from mlxoss.demo import expand_demo

        assert self.cache_dir is not None
        return expand_demo(self.cache_dir)


def resolve_model(
    model: str | None,
    *,
    env: Mapping[str, str] = os.environ,
    hub_cache: Path | None = None,
) -> ModelSource:
    """Find ``model``: ``None`` is the bundled demo, else a folder, else a Hugging Face id.

    An id stands for the commit that ``mlxoss models pull`` recorded, or the one that the cache
    calls ``main``; ``hub_cache`` is where the Hugging Face cache is if not in its usual place.
    Raises ``ModelError`` that says what to do.
    """
    if model is None:
        return _demo(env)
    folder = Path(model).expanduser()
    if _is_folder(folder):
        folder = folder.resolve()
        checkpoint = read_checkpoint(folder, "give --model a folder with a whole checkpoint")
        return _source(folder.name, folder, checkpoint)
    if folder.is_file():
        kind = "a GGUF file, which is llama.cpp's and" if folder.suffix == ".gguf" else "a file and"
        raise ModelError(
            f"{model} is {kind} {NOT_SERVED}. Give --model a folder with a whole checkpoint, or an "
            f"id like {_EXAMPLE}."
        )
    if not _HUB_ID.fullmatch(model):
        unplugged = " (is its disk connected?)" if folder.is_relative_to("/Volumes") else ""
        raise ModelError(
            f"There is no model folder {model}{unplugged}: give --model a folder that exists, or "
            f"an id like {_EXAMPLE}."
        )
    snapshot = _hub_snapshot(model, env, hub_cache or _hub_cache())
    return _source(model, snapshot, read_checkpoint(snapshot, _pull(model)))


def load_folder(folder: Path, *, fp16: bool = False, fused: bool = True) -> LanguageModel:
    """Load a checkpoint folder, quantised or not. Never runs code from it.

    With ``fp16`` bfloat16 becomes float16, unless that spoils the model; the log tells which. With
    ``fused`` the experts' gate and up projections become one matrix.
    """
    from mlxoss.engine.checkpoint.weights import read_weights

    model: LanguageModel = read_weights(folder, fused=fused)
    if not fp16:
        return model
    from mlxoss.engine.mlx.fp16 import has_bfloat16, recast
    from mlxoss.engine.mlx.memory import give_back

    if not has_bfloat16(model):
        logger.info("fp16: the model has no bfloat16 that could be recast")
    elif problem := recast(model):
        logger.warning("fp16: the model stays in bfloat16: in float16 %s", problem)
        del model
        give_back()
        model = read_weights(folder, fused=fused)
    else:
        logger.info("fp16: the model was recast from bfloat16 to float16")
    return model


def _demo(env: Mapping[str, str]) -> ModelSource:
    from mlxoss.demo import DEMO_CONTEXT_TOKENS, DEMO_CREATED, DEMO_NAME

    info = ModelInfo(DEMO_NAME, DEMO_CONTEXT_TOKENS, DEMO_CREATED)
    return ModelSource(info, None, paths.cache_dir(env))


def _source(name: str, folder: Path, checkpoint: Checkpoint) -> ModelSource:
    info = ModelInfo(name, checkpoint.context_tokens, checkpoint.created)
    return ModelSource(info, folder, checkpoint=checkpoint)


def _pull(model: str) -> str:
    return f"run `mlxoss models pull {model}`"


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; ``ModelError`` where one may not look."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except PermissionError as error:
        raise unreadable(path, error, "give --model another folder") from None
    except (OSError, ValueError):
        return False


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def _hub_snapshot(model: str, env: Mapping[str, str], hub_cache: Path) -> Path:
    """The snapshot's folder, by the cache's documented layout (huggingface_hub, manage-cache).

    ``snapshot_download(local_files_only=True)`` would do, but importing it takes as long as
    starting the server, and it also asks for files that no model needs.
    """
    folder = hub_cache / f"models--{model.replace('/', '--')}"
    pin = read_pins(paths.pins_file(env)).get(model)
    if pin is not None:
        commit = pin.commit
    else:
        ref = folder / "refs" / "main"
        try:
            commit = ref.read_text("utf-8").strip()
        except PermissionError as error:
            raise unreadable(ref, error, _pull(model)) from None
        except OSError:
            raise ModelError(f"{model} is not on this machine: {_pull(model)}.") from None
    snapshot = folder / "snapshots" / commit
    if not _is_folder(snapshot):
        raise ModelError(f"{model} at {commit} is not on this machine: {_pull(model)}.")
    return snapshot


# Metal's and MLX's allocators, C++ and the system say it each in their own way.
_NO_MEMORY = re.compile(
    r"malloc|bad_alloc|out of memory|insufficient memory|(unable to|failed to|cannot) allocate",
    re.IGNORECASE,
)
_NO_READ = "Unable to read from file"
"""What MLX says when a whole file cannot be read, for which it may lack the memory."""

_REMEDY = "Choose a smaller model, or end what else needs memory; then `mlxoss restart`."


def explain_load_failure(error: BaseException) -> str:
    """One sentence, and what to do where the memory did not suffice."""
    text = str(error).strip() or type(error).__name__
    (first, *_) = text.splitlines()
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return f"The model does not fit into the memory that is free ({first}). {_REMEDY}"
    if _NO_READ in text:
        return f"{first} The memory that is free does not suffice, or the disk fails. {_REMEDY}"
    return text
