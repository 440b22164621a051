"""One random gpt_oss in every layout that checkpoints come in, values and all.

The experts are made in MXFP4 first, so that each layout holds the very same numbers; how those are
packed is OpenAI's rule (``gpt_oss/torch/weights.py``), written down here once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tests.support.checkpoints import EXPERTS, HEAD_DIM, TinyModel, make_config, make_weights

Arrays = dict[str, NDArray[Any]]

SIZE = TinyModel(vocab_size=500, hidden=64, layers=2)
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
_VALUES = np.concatenate([FP4, -FP4])
_BLOCK = 32


def make_experts(size: TinyModel = SIZE) -> Arrays:
    """Blocks and scales of each layer's experts, gate and up by turns, as OpenAI packs them."""
    rng = np.random.default_rng(size.seed + 1)
    made: Arrays = {}
    for layer in range(size.layers):
        for name, rows in (("gate_up", 2 * size.hidden), ("down", size.hidden)):
            shape = (EXPERTS, rows, size.hidden // _BLOCK)
            prefix = f"model.layers.{layer}.mlp.experts.{name}_proj"
            made[f"{prefix}_blocks"] = rng.integers(0, 256, (*shape, 16), dtype=np.uint8)
            made[f"{prefix}_scales"] = rng.integers(121, 125, shape, dtype=np.uint8)
            made[f"{prefix}_bias"] = rng.standard_normal((EXPERTS, rows), np.float32)
    return made


def dequantise(blocks: NDArray[Any], scales: NDArray[Any]) -> NDArray[np.float32]:
    """(..., blocks, 16) bytes of two numbers each, the lower half first, to (..., columns)."""
    pairs = np.stack([_VALUES[blocks & 15], _VALUES[blocks >> 4]], axis=-1)
    values = pairs.reshape(*scales.shape, _BLOCK) * np.exp2(scales[..., None] - 127.0)
    return values.reshape(*scales.shape[:-1], -1).astype(np.float32)


def as_mxfp4(size: TinyModel = SIZE) -> tuple[Arrays, dict[str, Any]]:
    """As OpenAI's uploads."""
    config = make_config(size) | {"quantization_config": {"quant_method": "mxfp4"}}
    return _without_experts(size) | make_experts(size), config


def as_unquantised(size: TinyModel = SIZE) -> tuple[Arrays, dict[str, Any]]:
    """As transformers 5's ``save_pretrained`` writes a dequantised model."""
    arrays = _without_experts(size)
    experts = make_experts(size)
    for name, value in experts.items():
        if name.endswith("_blocks"):
            scales = experts[name.replace("_blocks", "_scales")]
            whole = dequantise(value, scales).swapaxes(-1, -2)
            arrays[name.removesuffix("_blocks")] = np.ascontiguousarray(whole)
        elif name.endswith("_bias"):
            arrays[name] = value
    return arrays, with_rope_parameters(make_config(size))


def as_mlx(size: TinyModel = SIZE) -> tuple[Arrays, dict[str, Any]]:
    """As mlx-lm's converter writes it, unquantised."""
    arrays = _without_experts(size)
    for name, value in as_unquantised(size)[0].items():
        if "gate_up_proj" in name:
            suffix = ".bias" if name.endswith("_bias") else ".weight"
            rows = value if suffix == ".bias" else value.swapaxes(-1, -2)
            base = name.split("gate_up_proj")[0]
            gate, up = (rows[:, ::2], rows[:, 1::2])
            arrays[f"{base}gate_proj{suffix}"] = np.ascontiguousarray(gate)
            arrays[f"{base}up_proj{suffix}"] = np.ascontiguousarray(up)
        elif name.endswith("down_proj"):
            arrays[f"{name}.weight"] = np.ascontiguousarray(value.swapaxes(-1, -2))
        elif name.endswith("down_proj_bias"):
            arrays[name.replace("_bias", ".bias")] = value
    return arrays, make_config(size)


def as_original(size: TinyModel = SIZE) -> tuple[Arrays, dict[str, Any]]:
    """As in OpenAI's ``original/`` folder."""
    arrays: Arrays = {}
    for name, value in as_mxfp4(size)[0].items():
        if not name.startswith("model.layers."):
            arrays[_ORIGINAL[name]] = value
            continue
        _, _, layer, part = name.split(".", 3)
        if "q_proj" in part:
            parts = [name.replace("q_proj", f"{own}_proj") for own in "qkv"]
            source = as_mxfp4(size)[0]
            kind = part.rsplit(".", 1)[1]
            whole = np.concatenate([source[own] for own in parts])
            arrays[f"block.{layer}.attn.qkv.{kind}"] = whole
        elif "k_proj" not in part and "v_proj" not in part:
            arrays[f"block.{layer}.{_ORIGINAL[part]}"] = value
    config = {
        "num_hidden_layers": size.layers,
        "num_experts": EXPERTS,
        "experts_per_token": EXPERTS,
        "vocab_size": size.vocab_size,
        "hidden_size": size.hidden,
        "intermediate_size": size.hidden,
        "swiglu_limit": 7.0,
        "head_dim": HEAD_DIM,
        "num_attention_heads": 4,
        "num_key_value_heads": size.kv_heads,
        "sliding_window": 128,
        "initial_context_length": 4096,
        "rope_theta": 150000.0,
        "rope_scaling_factor": 32.0,
        "rope_ntk_alpha": 1,
        "rope_ntk_beta": 32,
    }
    return arrays, config


_ORIGINAL = {
    "model.embed_tokens.weight": "embedding.weight",
    "model.norm.weight": "norm.scale",
    "lm_head.weight": "unembedding.weight",
    "input_layernorm.weight": "attn.norm.scale",
    "self_attn.sinks": "attn.sinks",
    "self_attn.o_proj.weight": "attn.out.weight",
    "self_attn.o_proj.bias": "attn.out.bias",
    "post_attention_layernorm.weight": "mlp.norm.scale",
    "mlp.router.weight": "mlp.gate.weight",
    "mlp.router.bias": "mlp.gate.bias",
    "mlp.experts.gate_up_proj_blocks": "mlp.mlp1_weight.blocks",
    "mlp.experts.gate_up_proj_scales": "mlp.mlp1_weight.scales",
    "mlp.experts.gate_up_proj_bias": "mlp.mlp1_bias",
    "mlp.experts.down_proj_blocks": "mlp.mlp2_weight.blocks",
    "mlp.experts.down_proj_scales": "mlp.mlp2_weight.scales",
    "mlp.experts.down_proj_bias": "mlp.mlp2_bias",
}

LAYOUTS: dict[str, Callable[..., tuple[Arrays, dict[str, Any]]]] = {
    "mxfp4": as_mxfp4,
    "unquantised": as_unquantised,
    "mlx": as_mlx,
    "original": as_original,
}


def with_rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as transformers 5 writes it."""
    rest = {k: v for k, v in config.items() if k not in ("rope_scaling", "rope_theta")}
    rope = config["rope_scaling"] | {"rope_theta": config["rope_theta"]}
    return rest | {"rope_parameters": rope}


def write(folder: Path, arrays: Arrays, config: dict[str, Any]) -> Path:
    """Write a checkpoint of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _without_experts(size: TinyModel) -> Arrays:
    return {name: value for name, value in make_weights(size).items() if ".experts." not in name}
