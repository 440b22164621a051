"""What can be told of a checkpoint folder without MLX: is it gpt_oss, and is it whole?"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from mlxoss.core import VOCAB_SIZE, JsonMapping, JsonObject
from mlxoss.engine.capacity import Footprint
from mlxoss.engine.checkpoint.config import (
    MODEL_TYPE,
    ModelConfig,
    read_config,
    to_hugging_face,
)
from mlxoss.engine.checkpoint.layout import (
    Layout,
    check_names,
    check_sizes,
    check_types,
    count_layers,
    find_layout,
)
from mlxoss.engine.checkpoint.tensors import (
    WEIGHTS,
    Tensors,
    read_tensors,
    unreadable,
    weight_files,
)
from mlxoss.errors import ModelError

_HALVES = ("BF16", "F16")
_LAST = re.compile(r"lm_head\.|unembedding\.|(model\.)?norm\.")
"""Parameters after the last layer: whatever their type is, keys and values do not get it."""
_QUANTISATION = {"quantization", "quantization_config"}
"""How the weights are quantised, in mlx-lm's word and in Hugging Face's."""

_MXFP4 = {"quantization_config": {"quant_method": "mxfp4"}}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that makes up a model as far as headers tell. ``created`` is a Unix time in
    seconds."""

    config: ModelConfig
    layout: Layout
    tensors: Tensors
    created: int

    @property
    def context_tokens(self) -> int:
        """The longest sequence, prompt and answer together."""
        return self.config.max_position_embeddings

    @property
    def weights_bytes(self) -> int:
        """What the weights take on the disk, and about that in memory."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def has_plain_experts(self) -> bool:
        """Whether the experts are not quantised."""
        plain = ("F32", *_HALVES)
        experts = (name for name in self.tensors if ".experts." in name and "bias" not in name)
        return all(self.tensors[name].dtype in plain for name in experts) and (
            self.layout is not Layout.ORIGINAL
        )

    def footprint(self, *, has_metal: bool) -> Footprint:
        """What it takes once loaded."""
        tensors = self.tensors.items()
        types = {tensor.dtype for name, tensor in tensors if not _LAST.match(name)}
        # MLX computes in float32 from where one parameter is, or where the halves are two kinds.
        is_wide = "F32" in types or types >= set(_HALVES)
        if self.has_plain_experts and not has_metal:
            # They are computed in float32 there, and so is all else.
            doubled = sum(tensor.nbytes for _, tensor in tensors if tensor.dtype in _HALVES)
            return Footprint(self.config, self.weights_bytes + doubled, 4)
        return Footprint(self.config, self.weights_bytes, 4 if is_wide else 2)

    def to_mlx_lm(self) -> JsonObject:
        """The configuration in the words that mlx-lm reads."""
        yarn = self.config.yarn
        raw = self.config.raw
        if not _is_quantised(self.layout, self.tensors):
            # Whatever it was quantised by once: mlx-lm would look for what is not there.
            raw = {**raw, **dict.fromkeys(_QUANTISATION)}
        config = {
            **raw,
            "rope_theta": yarn.theta,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": yarn.factor,
                "beta_fast": yarn.beta_fast,
                "beta_slow": yarn.beta_slow,
                "original_max_position_embeddings": yarn.original_tokens,
            },
            "layer_types": list(self.config.layer_types),
        }
        if self.layout in (Layout.MXFP4, Layout.ORIGINAL):
            config |= _MXFP4
        return config


def read_checkpoint(folder: Path, advice: str) -> Checkpoint:
    """Check ``folder`` in milliseconds, reading headers only.

    Raises ``ModelError`` in one sentence that ends with ``advice``, what the user should do.
    """
    checkpoint = read_any_checkpoint(folder, advice)
    if checkpoint.config.vocab_size != VOCAB_SIZE:
        raise ModelError(
            f"{folder} has a vocabulary of {checkpoint.config.vocab_size} tokens and not Harmony's "
            f"{VOCAB_SIZE}: {advice}."
        )
    return checkpoint


def read_any_checkpoint(folder: Path, advice: str) -> Checkpoint:
    """As ``read_checkpoint``, whatever its vocabulary is: no turn can be made with most."""
    config, created = _read_json(folder, advice)
    if config.get("model_type") != MODEL_TYPE:
        found = config.get("model_type")
        raise ModelError(f"{folder} is not a gpt_oss model (its type is {found!r}): {advice}.")
    tensors = read_tensors(weight_files(folder, advice), advice)
    layout = find_layout(tensors)
    try:
        sizes = read_config(config)
    except ValueError as error:
        raise ModelError(f"{folder} cannot be served, since {error}: {advice}.") from None
    problem = _check(layout, tensors, sizes)
    if problem is not None:
        raise ModelError(f"{folder} {problem}: {advice}.")
    return Checkpoint(sizes, layout, tensors, created)


def _is_quantised(layout: Layout, tensors: Tensors) -> bool:
    """Whether MLX quantised it."""
    return layout is Layout.MLX and any(name.endswith(".scales") for name in tensors)


def _check(layout: Layout, tensors: Tensors, config: ModelConfig) -> str | None:
    """What ``tensors`` have against ``config``, as the sentence goes on after the folder."""
    layers = count_layers(tensors)
    if layers > config.num_hidden_layers:
        return (
            "is not what its config.json says: with num_hidden_layers "
            f"{config.num_hidden_layers}, its weights have {layers} layers"
        )
    problem = check_names(layout, tensors, config.num_hidden_layers)
    problem = problem or check_types(tensors) or check_sizes(layout, tensors, config)
    says_how = not _is_quantised(layout, tensors) or _QUANTISATION & set(config.raw)
    if problem is None and not says_how:
        return "has quantised weights, and its config.json does not say how (quantization)"
    return problem


def _read_json(folder: Path, advice: str) -> tuple[JsonMapping, int]:
    """The content of ``config.json`` and when it was written."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        created = int(path.stat().st_mtime)
    except FileNotFoundError:
        raise ModelError(f"{folder} {_what_else(folder)}: {advice}.") from None
    except OSError as error:
        raise unreadable(path, error, advice) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error}): {advice}.") from None
    if not isinstance(config, dict):
        raise ModelError(
            f"{folder} is not a gpt_oss model (its config.json is no table): {advice}."
        )
    return to_hugging_face(config), created


def _what_else(folder: Path) -> str:
    """What a folder without ``config.json`` may be."""
    if any(folder.glob("*.gguf")):
        return f"holds GGUF files, which are llama.cpp's and {NOT_SERVED}"
    if (folder / "model.bin").exists():
        return f"holds OpenAI's weights for their own Metal program, which are {NOT_SERVED}"
    return "has no config.json"


NOT_SERVED = "not served here: gpt_oss in safetensors is"


def read_revision(folder: Path) -> str:
    """What tells the checkpoint in ``folder`` from any other, without reading its weights.

    Its configuration, and its weight files' names, sizes and times; in the Hugging Face cache those
    are links to files named by their contents. Raises ``OSError``.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob(WEIGHTS)):
        stat = file.stat()
        digest.update(
            f"\n{file.name} {file.resolve().name} {stat.st_size} {stat.st_mtime_ns}".encode()
        )
    return digest.hexdigest()
