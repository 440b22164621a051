"""How a checkpoint names and lays out its tensors, and what sizes they tell.

Four layouts of gpt_oss are read: mlx-lm's own (quantised or not), Hugging Face's with experts in
MXFP4 (OpenAI's uploads), Hugging Face's unquantised (what ``save_pretrained`` writes), and that of
OpenAI's ``original/`` folders (``gpt_oss/torch/weights.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlxoss.engine.checkpoint.config import ModelConfig
from mlxoss.engine.checkpoint.tensors import Tensor, Tensors

_TYPES = ("F32", "BF16", "F16", "U32")
_LAYER = re.compile(r"(?:model\.layers|block)\.(\d+)\.")


class Layout(StrEnum):
    """Whose names the tensors have."""

    MLX = "mlx"
    MXFP4 = "mxfp4"
    UNQUANTISED = "unquantised"
    ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class _Names:
    """A layout's names: ``top`` once, ``layer`` below ``prefix`` in each layer."""

    prefix: str
    top: tuple[str, ...]
    layer: tuple[str, ...]

    def all(self, layers: int) -> Iterator[str]:
        yield from self.top
        for index in range(layers):
            for name in self.layer:
                yield f"{self.prefix}.{index}.{name}"


def _both(*modules: str) -> tuple[str, ...]:
    return tuple(f"{module}.{part}" for module in modules for part in ("weight", "bias"))


_TOP = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
_REST = (
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "self_attn.sinks",
    *_both(*(f"self_attn.{part}_proj" for part in "qkvo")),
    *_both("mlp.router"),
)
_EXPERTS = "mlp.experts."

_NAMES: Mapping[Layout, _Names] = {
    Layout.MLX: _Names(
        "model.layers",
        _TOP,
        (*_REST, *_both(*(f"{_EXPERTS}{part}_proj" for part in ("gate", "up", "down")))),
    ),
    Layout.MXFP4: _Names(
        "model.layers",
        _TOP,
        (
            *_REST,
            *(
                f"{_EXPERTS}{part}_proj_{kind}"
                for part in ("gate_up", "down")
                for kind in ("blocks", "scales", "bias")
            ),
        ),
    ),
    Layout.UNQUANTISED: _Names(
        "model.layers",
        _TOP,
        (
            *_REST,
            *(
                f"{_EXPERTS}{part}_proj{end}"
                for part in ("gate_up", "down")
                for end in ("", "_bias")
            ),
        ),
    ),
    Layout.ORIGINAL: _Names(
        "block",
        ("embedding.weight", "norm.scale", "unembedding.weight"),
        (
            "attn.norm.scale",
            "attn.sinks",
            *_both("attn.qkv", "attn.out"),
            "mlp.norm.scale",
            *_both("mlp.gate"),
            *(
                f"mlp.{part}_{kind}"
                for part in ("mlp1", "mlp2")
                for kind in ("weight.blocks", "weight.scales", "bias")
            ),
        ),
    ),
}
_INNER: Mapping[Layout, tuple[str, int]] = {
    Layout.MLX: (f"{_EXPERTS}gate_proj.bias", 1),
    Layout.MXFP4: (f"{_EXPERTS}gate_up_proj_bias", 2),
    Layout.UNQUANTISED: (f"{_EXPERTS}gate_up_proj_bias", 2),
    Layout.ORIGINAL: ("mlp.mlp1_bias", 2),
}
"""Whose rows are the experts' inner width, and how often they hold it: gate and up, by turns."""

_MARKS = {
    Layout.ORIGINAL: "block.0.",
    Layout.MXFP4: "_proj_blocks",
    Layout.UNQUANTISED: "experts.gate_up_proj",
}


def find_layout(names: Iterable[str]) -> Layout:
    """Whose names these are, mlx-lm's where nothing tells otherwise."""
    found = list(names)
    for layout, mark in _MARKS.items():
        if any(mark in name for name in found):
            return layout
    return Layout.MLX


def check_names(layout: Layout, tensors: Tensors, layers: int) -> str | None:
    """What is missing or foreign, as a count and the first name; ``None``: all is as it should be.

    Quantised weights have ``scales`` and, by their mode, ``biases`` beside them.
    """
    wanted = list(_NAMES[layout].all(layers))
    missing = [name for name in wanted if name not in tensors]
    known = set(wanted) | set(_companions(tensors))
    foreign = [name for name in sorted(tensors) if name not in known]
    missing += [name for name in _scales(tensors) if name not in tensors]
    if missing:
        return f"lacks {_count(missing)} of its {len(wanted)} ({missing[0]} first)"
    if foreign:
        return f"has {_count(foreign)} that gpt_oss does not have ({foreign[0]} first)"
    return None


def check_types(tensors: Tensors) -> str | None:
    """Which tensor is of a type that is not computed with, if any.

    As bytes MXFP4 comes, and the scales of some; MLX takes numbers of 8 bits for whole ones.
    """
    for name, tensor in sorted(tensors.items()):
        is_bytes = name.endswith(("blocks", "scales")) and tensor.dtype == "U8"
        if tensor.dtype not in _TYPES and not is_bytes:
            return f"has {name} in {tensor.dtype}, and {', '.join(_TYPES)} are what is read"
    return None


def _count(names: list[str]) -> str:
    return "1 parameter" if len(names) == 1 else f"{len(names)} parameters"


def _is_packed(tensor: Tensor) -> bool:
    return tensor.dtype == "U32"


def _scales(tensors: Tensors) -> Iterator[str]:
    for name, tensor in tensors.items():
        if name.endswith(".weight") and _is_packed(tensor):
            yield f"{name.removesuffix('weight')}scales"


def _companions(tensors: Tensors) -> Iterator[str]:
    for scales in _scales(tensors):
        yield scales
        yield f"{scales.removesuffix('scales')}biases"


def count_layers(names: Iterable[str]) -> int:
    """One more than the highest layer."""
    found = (_LAYER.match(name) for name in names)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def check_sizes(layout: Layout, tensors: Tensors, config: ModelConfig) -> str | None:
    """Which size of ``config`` a tensor contradicts, if any. All names must be there."""
    for name, key, expected in _expected_rows(layout, config):
        shape = tensors[name].shape
        # Biases of experts are (experts, rows), all others and the weights begin with the rows.
        found = shape[-1 if key == "intermediate_size" else 0] if shape else 0
        if found != expected:
            return (
                f"is not what its config.json says: with {key} {getattr(config, key)}, {name} "
                f"should have {expected} rows, and it has {found}"
            )
    return None


def _expected_rows(layout: Layout, config: ModelConfig) -> Iterator[tuple[str, str, int]]:
    """A tensor, the size that it tells, and how many rows it should have."""
    is_original = layout is Layout.ORIGINAL
    embedding, norm = _NAMES[layout].top[:2]
    yield embedding, "vocab_size", config.vocab_size
    yield norm, "hidden_size", config.hidden_size
    q, kv = config.num_attention_heads, config.num_key_value_heads
    parts: dict[str, tuple[str, int]] = {
        "attn.sinks" if is_original else "self_attn.sinks": ("num_attention_heads", q),
        "mlp.gate.weight" if is_original else "mlp.router.weight": (
            "num_local_experts",
            config.num_local_experts,
        ),
        _INNER[layout][0]: ("intermediate_size", _INNER[layout][1] * config.intermediate_size),
    }
    if is_original:
        parts["attn.qkv.bias"] = ("head_dim", (q + 2 * kv) * config.head_dim)
    else:
        parts["self_attn.q_proj.bias"] = ("head_dim", q * config.head_dim)
        parts["self_attn.k_proj.bias"] = ("num_key_value_heads", kv * config.head_dim)
    for index in range(config.num_hidden_layers):
        for name, (key, expected) in parts.items():
            yield f"{_NAMES[layout].prefix}.{index}.{name}", key, expected
