"""One rank's part of a model: whether it can be cut so, what it takes, and reading it.

mlx-lm cuts a gpt_oss layer by attention heads and by the experts' inner width
(``gpt_oss.Model.shard``); the embedding, the head, the router and the norms are whole everywhere.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlxoss.engine.checkpoint.folder import read_any_checkpoint
from mlxoss.engine.checkpoint.layout import Layout
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.engine.checkpoint.tensors import weight_files
from mlxoss.engine.mlx.model import Group
from mlxoss.engine.ranks.messages import Loaded
from mlxoss.errors import ModelError

if TYPE_CHECKING:
    from mlxoss.engine.mlx.memory import Budget

_CUT = ("q_proj", "k_proj", "v_proj", "o_proj", "experts", "attn.qkv", "attn.out", "mlp1", "mlp2")
_ACROSS = ("down_proj", "o_proj", "attn.out", "mlp2")
_COUNTS = {
    "num_key_value_heads": "key-value heads",
    "num_attention_heads": "attention heads",
    "intermediate_size": "inner units of each expert",
}
_ADVICE = "pull it anew"
_PIECES = 16
_PIECE_BYTES = 1 << 16


def check_cut(folder: Path, size: int) -> None:
    """Raise ``ModelError`` for a checkpoint that cannot be cut into ``size`` equal parts."""
    checkpoint = read_any_checkpoint(folder, _ADVICE)
    for key, what in _COUNTS.items():
        count: int = getattr(checkpoint.config, key)
        if count % size:
            raise ModelError(
                f"The model's {count} {what} cannot be shared evenly by {size} ranks: "
                f"use a number of ranks that divides {count}."
            )
    if checkpoint.layout is Layout.UNQUANTISED:
        return  # it has no blocks, and its rows of ``down_proj`` are columns
    for name, tensor in checkpoint.tensors.items():
        # Quantised rows are cut between the blocks that share a scale.
        if _is_cut_across(name) and tensor.shape[-1] % size:
            raise ModelError(
                f"{name} has rows of {tensor.shape[-1]}, which cannot be shared evenly by "
                f"{size} ranks: use a number of ranks that divides {tensor.shape[-1]}."
            )


def _is_cut_across(name: str) -> bool:
    return any(part in name for part in _ACROSS) and not name.endswith("bias")


def shard_bytes(folder: Path, size: int) -> int:
    """About what one of ``size`` ranks holds in memory."""
    tensors = read_any_checkpoint(folder, _ADVICE).tensors
    return sum(
        tensor.nbytes // size if any(part in name for part in _CUT) else tensor.nbytes
        for name, tensor in tensors.items()
    )


def read_contents(folder: Path) -> str:
    """What tells the checkpoint from any other, wherever it lies, by reading some of it.

    The configuration, and of each weight file its name, its size, and pieces of it.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in weight_files(folder, _ADVICE):
        size = file.stat().st_size
        digest.update(f"\n{file.name} {size}\n".encode())
        with file.open("rb") as weights:
            for piece in range(_PIECES):
                weights.seek(piece * size // _PIECES)
                digest.update(weights.read(_PIECE_BYTES))
    return digest.hexdigest()


def load_part(
    source: ModelSource, budget: Budget, group: Group, *, fused: bool = True
) -> tuple[Any, Loaded]:
    """This rank's part of the model, and what rank 0 needs to know of it.

    Raises ``ModelError`` where it cannot be cut so, is too large, or cannot be read.
    """
    import mlx.core as mx

    from mlxoss.engine.mlx.memory import limit_reuse

    limit_reuse(budget.total_bytes)
    folder = source.find_folder()
    check_cut(folder, group.size())
    budget.check_weights(shard_bytes(folder, group.size()))
    model = load_shard(folder, group, fused=fused)
    room = budget.total_bytes - mx.get_active_memory()
    return model, Loaded(room, budget.spare_bytes(), read_contents(folder))


def load_shard(folder: Path, group: Group, *, fused: bool = True) -> Any:
    """This rank's part of the model in ``folder``, in memory, as an mlx-lm model.

    Layer by layer, so that no more than one whole layer is there beside what was cut.
    """
    from mlxoss.engine.checkpoint.weights import read_weights

    return read_weights(folder, lambda model: model.shard(group), fused=fused)
