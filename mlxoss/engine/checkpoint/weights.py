"""A checkpoint's weights as an mlx-lm model in memory, put right where mlx-lm is not.

mlx-lm makes the model and knows two layouts; this file brings the others to its names, sets YaRN as
gpt-oss has it, reads layer by layer, and refuses weights that are no numbers. The engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.quantized import quantize
from mlx.utils import tree_flatten

from mlxoss.core import JsonObject
from mlxoss.engine.checkpoint.config import ModelConfig
from mlxoss.engine.checkpoint.folder import Checkpoint, read_any_checkpoint
from mlxoss.engine.checkpoint.layout import Layout
from mlxoss.engine.checkpoint.tensors import weight_files
from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.engine.mlx.fuse import expect_interleaved, fuse_experts
from mlxoss.engine.mlx.lm import gpt_oss
from mlxoss.engine.mlx.model import Network
from mlxoss.errors import ModelError

_E8M0_NAN = 255
"""The one scale of MXFP4 that is no number (OCP Microscaling Formats 1.0)."""

_EQUAL = 1e-6
"""How far frequencies may be apart, as a share, to be the same in float32."""

Prepare = Callable[[Network], None]
"""Changes a model whose weights are not read yet."""


def read_weights(folder: Path, prepare: Prepare | None = None, *, fused: bool = True) -> Network:
    """The model in ``folder``, an mlx-lm model whose weights are all in memory.

    ``prepare`` may cut it beforehand; with ``fused`` its experts' gate and up projections are one.
    Where the files have them so, by turns, they are not even split, unless ``prepare`` is there,
    which knows mlx-lm's modules. Layer by layer, so that no more than one layer is there twice.
    Raises ``ModelError``, also for weights that are no finite numbers.
    """
    checkpoint = read_any_checkpoint(folder, _ADVICE)
    try:
        interleaved = fused and prepare is None and checkpoint.layout is not Layout.MLX
        model = _make(folder, checkpoint, interleaved=interleaved)
        set_yarn(model, checkpoint.config)
        _narrow_sinks(model)
        if prepare is not None:
            prepare(model)
        for name, part in _parts(model):
            mx.eval(part.parameters())
            _check_numbers(name, part)
            if fused and part is not model:
                fuse_experts(part)
    except (OSError, RuntimeError) as error:  # the disk's or the memory's
        raise ModelError(f"The model in {folder} cannot be loaded: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        why = _in_one_sentence(error)
        raise ModelError(f"The model in {folder} cannot be loaded: {why}: {_ADVICE}.") from error
    return model


_ADVICE = "put its files back, or pull it anew; then `mlxoss restart`"


def _in_one_sentence(error: BaseException) -> str:
    (first, *_) = str(error).strip().splitlines() or [type(error).__name__]
    return first.rstrip(".:")


def _make(folder: Path, checkpoint: Checkpoint, *, interleaved: bool) -> Network:
    """The model with its arrays not evaluated yet; ``interleaved`` experts stay so."""
    files = weight_files(folder, _ADVICE)
    arrays: dict[str, mx.array] = {}
    for file in files:
        arrays.update(mx.load(str(file)))  # type: ignore[arg-type]
    config = checkpoint.to_mlx_lm()
    if config.get("model_file") is not None:
        raise ValueError("it wants custom code (model_file), which is never run")
    model: Network = gpt_oss.Model(gpt_oss.ModelArgs.from_dict(config))
    named = _to_mlx_lm(arrays, checkpoint)
    if interleaved:
        for layer in model.layers:
            expect_interleaved(layer)
        named = dict(_as_they_are(named))
    else:
        named = model.sanitize(named)
    _quantise(model, named, config)
    model.eval()
    model.load_weights(list(named.items()), strict=True)
    if checkpoint.has_plain_experts and not computes_on_metal():
        model.set_dtype(mx.float32)  # MLX's gathered products know nothing else on a CPU
    return model


def _quantise(model: Network, weights: Mapping[str, mx.array], config: JsonObject) -> None:
    """Have the layers whose weights are quantised expect them, as ``config`` or they say."""
    told = config.get("quantization") or config.get("quantization_config")
    if not told:
        return
    own = told if "group_size" in told else {}

    def choose(path: str, module: Network) -> bool | JsonObject:
        if path in own:
            return own[path]  # type: ignore[no-any-return]
        if f"{path}.scales" not in weights or not hasattr(module, "to_quantized"):
            return False
        return _find_form(path, module.weight.shape[-1], weights)

    quantize(model, class_predicate=choose)


_BLOCKS = {(4, 16): "nvfp4", (4, 32): "mxfp4", (8, 32): "mxfp8"}
"""MLX's modes whose scales are bytes, each by its bits and the width of a block."""


def _find_form(path: str, width: int, weights: Mapping[str, mx.array]) -> JsonObject:
    """How a matrix with rows of ``width`` is packed, by its shapes and types."""
    scales = weights[f"{path}.scales"]
    group_size = width // scales.shape[-1]
    bits = weights[f"{path}.weight"].shape[-1] * 32 // width
    mode = "affine" if scales.dtype != mx.uint8 else _BLOCKS.get((bits, group_size))
    if mode is None:
        raise ValueError(f"{path} is packed in {bits} bits in blocks of {group_size}")
    return {"group_size": group_size, "bits": bits, "mode": mode}


def _to_mlx_lm(weights: dict[str, mx.array], checkpoint: Checkpoint) -> dict[str, mx.array]:
    """``weights`` under names, and in shapes, that ``gpt_oss.Model.sanitize`` knows."""
    if checkpoint.layout is Layout.ORIGINAL:
        return _from_original(weights, checkpoint.config)
    if checkpoint.layout is not Layout.UNQUANTISED:
        return weights
    renamed = {}
    for name, value in weights.items():
        if name.endswith("experts.gate_up_proj") or name.endswith("experts.down_proj"):
            # (experts, in, out), as torch multiplies them; mlx-lm has (experts, out, in).
            renamed[f"{name}.weight"] = mx.contiguous(value.swapaxes(-1, -2))
        else:
            renamed[name] = value
    return renamed


_KINDS = {"_blocks": ".weight", "_scales": ".scales", "_bias": ".bias"}
"""What follows the name of an expert's matrix, in OpenAI's upload and in mlx-lm's modules."""


def _as_they_are(weights: Mapping[str, mx.array]) -> Iterator[tuple[str, mx.array]]:
    """``weights`` under their modules' names, with gate and up in one matrix. No copies."""
    for name, value in weights.items():
        if not name.endswith(tuple(f"_proj{kind}" for kind in _KINDS)):
            yield name, value
            continue
        module, kind = name.rsplit("_", 1)
        packed = value.view(mx.uint32).flatten(-2) if kind == "blocks" else value
        yield module + _KINDS[f"_{kind}"], packed


_ORIGINAL_TOP = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.scale": "model.norm.weight",
    "unembedding.weight": "lm_head.weight",
}
_ORIGINAL_PARTS = {
    "attn.norm.scale": "input_layernorm.weight",
    "attn.sinks": "self_attn.sinks",
    "attn.out.": "self_attn.o_proj.",
    "mlp.norm.scale": "post_attention_layernorm.weight",
    "mlp.gate.": "mlp.router.",
    "mlp.mlp1_weight.": "mlp.experts.gate_up_proj_",
    "mlp.mlp1_bias": "mlp.experts.gate_up_proj_bias",
    "mlp.mlp2_weight.": "mlp.experts.down_proj_",
    "mlp.mlp2_bias": "mlp.experts.down_proj_bias",
}


def _from_original(weights: dict[str, mx.array], config: ModelConfig) -> dict[str, mx.array]:
    """OpenAI's names to Hugging Face's; one matrix there holds queries, keys and values."""
    q = config.num_attention_heads * config.head_dim
    kv = config.num_key_value_heads * config.head_dim
    renamed = {}
    for name, value in weights.items():
        if name in _ORIGINAL_TOP:
            renamed[_ORIGINAL_TOP[name]] = value
            continue
        _, layer, part = name.split(".", 2)
        prefix = f"model.layers.{layer}."
        if part.startswith("attn.qkv."):
            kind = part.removeprefix("attn.qkv.")
            for own, rows in zip("qkv", mx.split(value, [q, q + kv]), strict=True):
                renamed[f"{prefix}self_attn.{own}_proj.{kind}"] = mx.contiguous(rows)
            continue
        (begin,) = (begin for begin in _ORIGINAL_PARTS if part.startswith(begin))
        renamed[prefix + _ORIGINAL_PARTS[begin] + part.removeprefix(begin)] = value
    return renamed


def set_yarn(model: Network, config: ModelConfig) -> bool:
    """Turn queries and keys as ``config`` says; whether mlx-lm would have done otherwise.

    Its magnitude, which both are multiplied by, goes into the attention's scale: that is the same
    product, for two multiplications less in every layer.
    """
    periods = 1 / mx.array(config.yarn.frequencies(config.head_dim))
    was_wrong = False
    for layer in model.layers:
        attention = layer.self_attn
        rope = attention.rope
        if not mx.all(mx.abs(rope._freqs / periods - 1) < _EQUAL).item():
            rope._freqs = periods
            was_wrong = True
        rope.mscale = 1.0
        attention.sm_scale = config.head_dim**-0.5 * config.yarn.magnitude**2
    return was_wrong


def _narrow_sinks(model: Network) -> None:
    """MLX's attention takes no sinks in float32 beside queries in 16 bits."""
    for layer in model.layers:
        attention = layer.self_attn
        attention.sinks = attention.sinks.astype(attention.q_proj.bias.dtype)


def _parts(model: Network) -> Iterator[tuple[str, Network]]:
    """The model's modules, a layer at a time, then all else."""
    for index, layer in enumerate(model.layers):
        yield f"model.layers.{index}", layer
    yield "", model


def _check_numbers(prefix: str, part: Network) -> None:
    """Raise ``ValueError`` that names the first array with a value that is no finite number."""
    arrays: Any = tree_flatten(part.parameters())
    checks = {name: _all_numbers(array) for name, array in arrays}
    mx.eval(list(checks.values()))
    for name, is_fine in checks.items():
        if not is_fine.item():
            where = f"{prefix}.{name}" if prefix else name
            raise ValueError(f"{where} has values that are not numbers, so its weights are damaged")


def _all_numbers(array: mx.array) -> mx.array:
    """Whether ``array`` is all numbers, by its ends: no copy of it is made."""
    if array.dtype == mx.uint8:
        return mx.max(array) < _E8M0_NAN
    if not mx.issubdtype(array.dtype, mx.floating):
        return mx.array(True)
    return mx.isfinite(mx.max(array)) & mx.isfinite(mx.min(array))
