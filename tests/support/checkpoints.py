"""Random ``gpt_oss`` checkpoints: a real model's files, tiny and untrained."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

FULL_VOCAB = 201088
HEAD_DIM = 32
EXPERTS = 4

GPT_OSS: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "sliding_window": 128,
    "rms_norm_eps": 1e-05,
    "rope_theta": 150000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 4096,
        "truncate": False,
    },
    "initial_context_length": 4096,
    "max_position_embeddings": 131072,
    "eos_token_id": 200002,
}
"""What ``config.json`` of openai/gpt-oss-20b says apart from sizes."""


@dataclass(frozen=True)
class TinyModel:
    """Sizes of a checkpoint; ``layers`` alternate sliding and full attention, window 128."""

    vocab_size: int = FULL_VOCAB
    hidden: int = 64
    layers: int = 2
    seed: int = 0
    kv_heads: int = 2


def write_checkpoint(folder: Path, size: TinyModel | None = None) -> Path:
    """Write ``config.json`` and ``model.safetensors`` (float32) into ``folder`` and return it."""
    size = size or TinyModel()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        _weights(size, _make_normal(size.seed)),
        folder / "model.safetensors",
        metadata={"format": "mlx"},
    )
    (folder / "config.json").write_text(json.dumps(make_config(size)))
    return folder


def write_outline(folder: Path, size: TinyModel | None = None, **config: Any) -> Path:
    """A folder that looks whole: headers of all tensors and holes for their values.

    ``config`` goes over the configuration; a key whose value is ``-`` is left out.
    """
    size = size or TinyModel()
    folder.mkdir(parents=True, exist_ok=True)
    merged = make_config(size) | config
    (folder / "config.json").write_text(json.dumps({k: v for k, v in merged.items() if v != "-"}))
    tensors = _weights(size, lambda *shape, scale=None: np.broadcast_to(np.float32(0), shape))
    write_holes(folder / "model.safetensors", {name: v.shape for name, v in tensors.items()})
    return folder


def write_holes(file: Path, shapes: Mapping[str, Sequence[int]]) -> None:
    """A safetensors file of float32 zeros that takes no room on the disk."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(file, 8 + len(text) + end)


def write_plain(folder: Path, source: Path, *, dtype: str) -> Path:
    """The checkpoint in ``source`` with all of its weights in ``dtype``, not quantised."""
    import mlx.core as mx

    folder.mkdir(parents=True, exist_ok=True)
    weights: Any = mx.load(str(source / "model.safetensors"))
    cast = {name: value.astype(getattr(mx, dtype)) for name, value in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), cast, metadata={"format": "mlx"})
    (folder / "config.json").write_text((source / "config.json").read_text())
    return folder


def write_quantised(
    folder: Path,
    source: Path,
    *,
    bits: int,
    mode: str,
    dtype: str = "float32",
    others: Mapping[str, Any] | None = None,
) -> Path:
    """Quantise ``source`` as mlx-lm's converter does: ``mode`` ``affine`` or ``mxfp4``.

    ``mixed`` is what gpt-oss comes in: the experts in MXFP4, the rest in ``affine``. What is not
    quantised, and the scales of ``affine``, are of ``dtype``. ``others`` says of some modules, by
    their paths, how they are quantised instead.
    """
    import mlx.core as mx
    from mlx.nn.layers.quantized import quantize
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model

    model, config = load_model(source)
    model.set_dtype(getattr(mx, dtype))
    rest: dict[str, Any] = {"group_size": 64, "bits": bits, "mode": "affine"}
    mxfp4 = {"group_size": 32, "bits": 4, "mode": "mxfp4"}
    if mode == "mxfp4":
        rest = dict(mxfp4)
    own = {
        f"model.layers.{layer}.mlp.experts.{name}": mxfp4
        for layer in range(config["num_hidden_layers"] if mode == "mixed" else 0)
        for name in ("gate_proj", "up_proj", "down_proj")
    }
    own |= others or {}

    def choose(path: str, module: Any) -> Any:
        return own.get(path, hasattr(module, "to_quantized"))

    quantize(model, **rest, class_predicate=choose)
    folder.mkdir(parents=True, exist_ok=True)
    weights: Any = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    config["quantization"] = rest | own
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_config(size: TinyModel) -> dict[str, Any]:
    """A ``config.json`` with the keys and the rope scaling of gpt-oss-20b's."""
    return {
        **GPT_OSS,
        "vocab_size": size.vocab_size,
        "hidden_size": size.hidden,
        "intermediate_size": size.hidden,
        "num_hidden_layers": size.layers,
        "layer_types": ["sliding_attention", "full_attention"] * (size.layers // 2),
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": EXPERTS,
        "head_dim": HEAD_DIM,
        "num_attention_heads": 4,
        "num_key_value_heads": size.kv_heads,
    }


Normal = Callable[..., NDArray[np.float32]]
"""A shape to values; ``scale`` is their spread, ``None`` for what keeps a product's."""


def make_weights(size: TinyModel) -> dict[str, NDArray[np.float32]]:
    """The random weights of ``size`` under mlx-lm's names."""
    return _weights(size, _make_normal(size.seed))


def _make_normal(seed: int) -> Normal:
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float | None = None) -> NDArray[np.float32]:
        values = rng.standard_normal(shape, dtype=np.float32)
        return values * np.float32(shape[-1] ** -0.5 if scale is None else scale)

    return normal


def _weights(size: TinyModel, normal: Normal) -> dict[str, NDArray[np.float32]]:
    weights = {
        "model.embed_tokens.weight": normal(size.vocab_size, size.hidden, scale=1.0),
        "model.norm.weight": 1 + normal(size.hidden, scale=0.1),
        "lm_head.weight": normal(size.vocab_size, size.hidden),
    }
    for layer in range(size.layers):
        for name, value in _layer(size, normal).items():
            weights[f"model.layers.{layer}.{name}"] = value
    return weights


def _layer(size: TinyModel, normal: Normal) -> dict[str, NDArray[np.float32]]:
    hidden, q, kv = size.hidden, 4 * HEAD_DIM, size.kv_heads * HEAD_DIM
    layer = {
        "input_layernorm.weight": 1 + normal(hidden, scale=0.1),
        "post_attention_layernorm.weight": 1 + normal(hidden, scale=0.1),
        "self_attn.sinks": normal(4, scale=1.0),
    }
    linears = {"q_proj": (q, hidden), "k_proj": (kv, hidden), "v_proj": (kv, hidden)}
    for name, shape in (linears | {"o_proj": (hidden, q)}).items():
        layer[f"self_attn.{name}.weight"] = normal(*shape)
        layer[f"self_attn.{name}.bias"] = normal(shape[0], scale=0.1)
    layer["mlp.router.weight"] = normal(EXPERTS, hidden)
    layer["mlp.router.bias"] = normal(EXPERTS, scale=0.1)
    for name in ("gate_proj", "up_proj", "down_proj"):
        layer[f"mlp.experts.{name}.weight"] = normal(EXPERTS, hidden, hidden)
        layer[f"mlp.experts.{name}.bias"] = normal(EXPERTS, hidden, scale=0.1)
    return layer
