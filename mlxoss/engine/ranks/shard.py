"""One rank's part of a model: whether it can be cut so, what it takes, and reading it.

mlx-lm cuts a gpt_oss layer by attention heads and by the experts' inner width
(``gpt_oss.Model.shard``); the embedding, the head, the router and the norms are whole everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlxoss.engine.checkpoint import weight_files
from mlxoss.engine.loader import ModelSource
from mlxoss.engine.ranks.messages import Loaded
from mlxoss.errors import ModelError

if TYPE_CHECKING:
    from mlxoss.engine.memory import Budget

_CUT = ("q_proj", "k_proj", "v_proj", "o_proj", "experts")
_BLOCK = {"mxfp4": 32, "mxfp8": 32, "nvfp4": 16}
_OPENAI_BLOCK = 32
_PIECES = 16
_PIECE_BYTES = 1 << 16


def check_cut(folder: Path, size: int) -> None:
    """Raise ``ModelError`` for a checkpoint that cannot be cut into ``size`` equal parts."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    for count, what in ((kv_heads, "key-value heads"), (heads, "attention heads")):
        if count % size:
            raise ModelError(
                f"The model's {count} {what} cannot be shared evenly by {size} ranks: "
                f"use a number of ranks that divides {count}."
            )
    width, block = config["intermediate_size"], _expert_block(config)
    if width % (size * block):
        raise ModelError(
            f"The experts' width of {width}, quantised in blocks of {block}, cannot be shared "
            f"evenly by {size} ranks: {width // block} blocks are no multiple of {size}."
            if block > 1
            else f"The experts' width of {width} cannot be shared evenly by {size} ranks."
        )


def _expert_block(config: dict[str, Any]) -> int:
    """How many weights of an expert's rows share a scale, 1 if none do."""
    quantised = config.get("quantization") or config.get("quantization_config")
    if not quantised:
        return 1
    if quantised.get("quant_method") == "mxfp4":
        return _OPENAI_BLOCK
    blocks = [_block(quantised)]
    blocks += [
        _block(own)
        for name, own in quantised.items()
        if isinstance(own, dict) and ".experts." in name
    ]
    return max(blocks)


def _block(quantised: dict[str, Any]) -> int:
    mode = quantised.get("mode", "affine")
    return int(quantised.get("group_size") or _BLOCK.get(mode, 64))


def shard_bytes(folder: Path, size: int) -> int:
    """About what one of ``size`` ranks holds in memory."""
    total = 0
    for name, length in _tensors(folder):
        total += length // size if any(part in name for part in _CUT) else length
    return total


def _tensors(folder: Path) -> Iterator[tuple[str, int]]:
    """Names and bytes (the safetensors format: a length, a JSON header, the data)."""
    for file in weight_files(folder, "pull it anew"):
        with file.open("rb") as weights:
            header = json.loads(weights.read(int.from_bytes(weights.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                begin, end = tensor["data_offsets"]
                yield name, end - begin


def read_contents(folder: Path) -> str:
    """What tells the checkpoint from any other, wherever it lies, by reading some of it.

    The configuration, and of each weight file its name, its size, and pieces of it.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in weight_files(folder, "pull it anew"):
        size = file.stat().st_size
        digest.update(f"\n{file.name} {size}\n".encode())
        with file.open("rb") as weights:
            for piece in range(_PIECES):
                weights.seek(piece * size // _PIECES)
                digest.update(weights.read(_PIECE_BYTES))
    return digest.hexdigest()


def load_part(source: ModelSource, budget: Budget, group: Any) -> tuple[Any, Loaded]:
    """This rank's part of the model, and what rank 0 needs to know of it.

    Raises ``ModelError`` where it cannot be cut so, is too large, or cannot be read.
    """
    import mlx.core as mx

    from mlxoss.engine.memory import limit_reuse

    limit_reuse()
    folder = source.find_folder()
    check_cut(folder, group.size())
    budget.check_weights(shard_bytes(folder, group.size()))
    model = load_shard(folder, group)
    room = budget.total_bytes - mx.get_active_memory()
    return model, Loaded(room, budget.spare_bytes(), read_contents(folder))


def load_shard(folder: Path, group: Any) -> Any:
    """This rank's part of the model in ``folder``, in memory, as an mlx-lm model.

    Layer by layer, so that no more than one whole layer is there beside what was cut.
    """
    import mlx.core as mx
    from mlx_lm.utils import load_model

    try:
        model: Any = load_model(folder, lazy=True, strict=True)[0]
        model.shard(group)
        for layer in model.layers:
            mx.eval(layer.parameters())
        mx.eval(model.parameters())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"The model in {folder} cannot be loaded: {error}") from error
    return model
