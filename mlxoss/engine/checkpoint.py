"""What can be told of a checkpoint folder without MLX: is it gpt_oss, and is it whole?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss.core import VOCAB_SIZE
from mlxoss.errors import ModelError

CONTEXT_TOKENS = 131072
_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model*.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that looks complete. ``created`` is a Unix time in seconds."""

    context_tokens: int
    created: int


def read_checkpoint(folder: Path, advice: str) -> Checkpoint:
    """Check ``folder`` in milliseconds, reading headers only.

    Raises ``ModelError`` in one sentence that ends with ``advice``, what the user should do.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        created = int(path.stat().st_mtime)
    except FileNotFoundError:
        raise ModelError(f"{folder} has no config.json: {advice}.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): {advice}.") from None
    if not isinstance(config, dict) or config.get("model_type") != "gpt_oss":
        found = config.get("model_type") if isinstance(config, dict) else None
        raise ModelError(f"{folder} is not a gpt_oss model (its type is {found!r}): {advice}.")
    if config.get("vocab_size", VOCAB_SIZE) != VOCAB_SIZE:
        raise ModelError(
            f"{folder} has a vocabulary of {config['vocab_size']} tokens and not Harmony's "
            f"{VOCAB_SIZE}: {advice}."
        )
    for file in weight_files(folder, advice):
        if not _is_whole(file):
            raise ModelError(f"The weights in {file} are damaged: {advice}.")
    return Checkpoint(_context_tokens(config), created)


def read_revision(folder: Path) -> str:
    """What tells the checkpoint in ``folder`` from any other, without reading its weights.

    Its configuration, and its weight files' names, sizes and times; in the Hugging Face cache those
    are links to files named by their contents. Raises ``OSError``.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob(_WEIGHTS)):
        stat = file.stat()
        digest.update(
            f"\n{file.name} {file.resolve().name} {stat.st_size} {stat.st_mtime_ns}".encode()
        )
    return digest.hexdigest()


def _context_tokens(config: dict[str, Any]) -> int:
    """``max_position_embeddings``; OpenAI's own checkpoints give the factors of it instead."""
    longest = config.get("max_position_embeddings")
    if longest is None and "initial_context_length" in config:
        scaling = config.get("rope_scaling") or {}
        factor = scaling.get("factor") or config.get("rope_scaling_factor") or 1
        longest = config["initial_context_length"] * factor
    return int(longest or CONTEXT_TOKENS)


def weight_files(folder: Path, advice: str) -> list[Path]:
    """The files that mlx-lm reads: those that match, all of those that the index names.

    Raises ``ModelError`` that ends with ``advice`` where there are none or some are missing.
    """
    present = sorted(folder.glob(_WEIGHTS))
    index = folder / _INDEX
    if index.exists():
        try:
            wanted = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"{index} cannot be read ({error!r}): {advice}.") from None
        missing = sorted(wanted - {file.name for file in present})
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of {len(wanted)} weight files "
                f"({missing[0]} first): {advice}."
            )
    if not present:
        raise ModelError(f"{folder} has no weights ({_WEIGHTS}): {advice}.")
    return present


def _is_whole(file: Path) -> bool:
    """Whether the file is as long as its header says (the safetensors format, version 0.x).

    A broken-off download is the usual damage, and MLX reads weights only when they are used.
    """
    try:
        with file.open("rb") as weights:
            header_bytes = int.from_bytes(weights.read(8), "little")
            size_bytes = file.stat().st_size
            if header_bytes > size_bytes:
                return False
            header = json.loads(weights.read(header_bytes))
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(size_bytes == 8 + header_bytes + end)
