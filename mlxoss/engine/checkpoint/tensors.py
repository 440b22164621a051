"""What the headers of weight files say, without MLX and without reading a weight.

The safetensors format, version 0.x: 8 bytes with the header's length, the header in JSON, the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mlxoss.core import JsonObject
from mlxoss.denied import explain_denied
from mlxoss.errors import ModelDenied, ModelError

_INDEX = "model.safetensors.index.json"
_MOST_HEADER_BYTES = 100_000_000
"""What the format allows; what is longer is no header, and would be read as a whole."""
WEIGHTS = "model*.safetensors"
"""The files that mlx-lm reads."""

_ODD = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What reading a file raises that does not hold what it should."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as a header has it; ``dtype`` in safetensors' words, as ``BF16``."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


Tensors = dict[str, Tensor]


def weight_files(folder: Path, advice: str) -> list[Path]:
    """The files that mlx-lm reads: those that match, all of those that the index names.

    Raises ``ModelError`` that ends with ``advice`` where there are none or some are missing.
    """
    try:
        names = sorted(os.listdir(folder))  # a glob says nothing of a folder that it may not read
    except OSError as error:
        raise unreadable(folder, error, advice) from None
    present = [folder / name for name in names if fnmatchcase(name, WEIGHTS)]
    index = folder / _INDEX
    if _INDEX in names:
        wanted = _wanted(index, advice)
        if wanted is None:
            raise ModelError(f"{index} cannot be read: {advice}.")
        missing = sorted(wanted - {file.name for file in present})
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of {len(wanted)} weight files "
                f"({missing[0]} first): {advice}."
            )
    if not present:
        raise ModelError(f"{folder} has no weights ({WEIGHTS}): {advice}.")
    return present


def unreadable(path: Path, error: OSError, advice: str) -> ModelError:
    """What to raise for ``path``: ends with ``advice``, unless it is there and is not ours to read.

    Then what to do is another thing, and never to get it anew.
    """
    said = f"{path} cannot be read ({error.strerror or error})"
    if remedy := explain_denied(error):
        return ModelDenied(f"{said}: {remedy}.")
    return ModelError(f"{said}: {advice}.")


def _wanted(index: Path, advice: str) -> set[str] | None:
    """The files that ``index`` names; ``None`` if it is not what it should be."""
    try:
        wanted = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except OSError as error:
        raise unreadable(index, error, advice) from None
    except _ODD:
        return None
    return wanted if all(isinstance(name, str) for name in wanted) else None


def read_tensors(files: Iterable[Path], advice: str) -> Tensors:
    """All tensors of ``files``, by their names. Raises ``ModelError`` for one that is damaged.

    A broken-off download is the usual damage, and MLX reads weights only when they are used.
    """
    tensors: Tensors = {}
    for file in files:
        try:
            found = _read_header(file)
        except OSError as error:
            raise unreadable(file, error, advice) from None
        if found is None:
            raise ModelError(f"The weights in {file} are damaged: {advice}.")
        tensors |= found
    return tensors


def _read_header(file: Path) -> Tensors | None:
    """The file's tensors; ``None`` unless it is as long as its header says. Raises ``OSError``."""
    try:
        with file.open("rb") as weights:
            header_bytes = int.from_bytes(weights.read(8), "little")
            size_bytes = file.stat().st_size
            if header_bytes > min(size_bytes, _MOST_HEADER_BYTES):
                return None
            header = json.loads(weights.read(header_bytes))
        header.pop("__metadata__", None)
        ends = [tensor["data_offsets"][1] for tensor in header.values()]
        if size_bytes != 8 + header_bytes + max(ends, default=0):
            return None
        return {name: _to_tensor(tensor) for name, tensor in header.items()}
    except _ODD:
        return None


def _to_tensor(tensor: JsonObject) -> Tensor:
    begin, end = tensor["data_offsets"]
    return Tensor(str(tensor["dtype"]), tuple(map(int, tensor["shape"])), int(end) - int(begin))
