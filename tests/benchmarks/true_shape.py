"""A gpt-oss-20b of random weights: ``python -m tests.benchmarks.true_shape FOLDER``.

In OpenAI's format, 24 layers of 32 experts, 12 GB: what loading, memory, context and speed depend
on is that of the real one, and its text is noise. ``--layers N`` makes a smaller one of that width.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.checkpoints import GPT_OSS

HIDDEN, INNER, EXPERTS, VOCAB = 2880, 2880, 32, 201_088
HEADS, KV_HEADS, HEAD_DIM = 64, 8, 64
LAYERS = 24

Shapes = dict[str, tuple[str, tuple[int, ...]]]


def config(layers: int) -> dict[str, Any]:
    """As that of ``openai/gpt-oss-20b``."""
    return {
        **GPT_OSS,
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "layer_types": ["sliding_attention", "full_attention"] * (layers // 2),
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": 4,
        "head_dim": HEAD_DIM,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "swiglu_limit": 7.0,
        "quantization_config": {"quant_method": "mxfp4"},
    }


def _layer(index: int) -> Shapes:
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    linears = {"q_proj": (q, HIDDEN), "k_proj": (kv, HIDDEN), "v_proj": (kv, HIDDEN)}
    linears |= {"o_proj": (HIDDEN, q)}
    shapes: Shapes = {
        "input_layernorm.weight": ("BF16", (HIDDEN,)),
        "post_attention_layernorm.weight": ("BF16", (HIDDEN,)),
        "self_attn.sinks": ("BF16", (HEADS,)),
        "mlp.router.weight": ("BF16", (EXPERTS, HIDDEN)),
        "mlp.router.bias": ("BF16", (EXPERTS,)),
    }
    for name, (rows, columns) in linears.items():
        shapes[f"self_attn.{name}.weight"] = ("BF16", (rows, columns))
        shapes[f"self_attn.{name}.bias"] = ("BF16", (rows,))
    for name, rows in (("gate_up", 2 * INNER), ("down", HIDDEN)):
        prefix = f"mlp.experts.{name}_proj"
        shapes[f"{prefix}_blocks"] = ("U8", (EXPERTS, rows, HIDDEN // 32, 16))
        shapes[f"{prefix}_scales"] = ("U8", (EXPERTS, rows, HIDDEN // 32))
        shapes[f"{prefix}_bias"] = ("BF16", (EXPERTS, rows))
    return {f"model.layers.{index}.{name}": shape for name, shape in shapes.items()}


def _files(layers: int) -> Iterator[Shapes]:
    yield {
        "model.embed_tokens.weight": ("BF16", (VOCAB, HIDDEN)),
        "model.norm.weight": ("BF16", (HIDDEN,)),
        "lm_head.weight": ("BF16", (VOCAB, HIDDEN)),
    }
    for index in range(layers):
        yield _layer(index)


def _values(name: str, dtype: str, shape: tuple[int, ...], rng: Any) -> NDArray[Any]:
    """Random bytes, bfloat16 as the upper halves of float32."""
    if name.endswith("_blocks"):
        return np.frombuffer(rng.bytes(math.prod(shape)), np.uint8)
    if dtype == "U8":
        return np.asarray(rng.integers(117, 121, math.prod(shape), dtype=np.uint8))
    spread = 0.02 if len(shape) > 1 else 0.1
    values = rng.standard_normal(math.prod(shape), dtype=np.float32) * np.float32(spread)
    if "norm" in name:
        values += np.float32(1)
    return np.asarray(values.view(np.uint32) >> 16, dtype=np.uint16)


def write(folder: Path, layers: int = LAYERS, seed: int = 0) -> Path:
    """Write the checkpoint into ``folder``, one file a layer; minutes for the whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index, shapes in enumerate(_files(layers)):
        header, end = {}, 0
        for name, (dtype, shape) in shapes.items():
            begin, end = end, end + math.prod(shape) * (1 if dtype == "U8" else 2)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        with (folder / f"model-{index:05}-of-{layers:05}.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name, (dtype, shape) in shapes.items():
                _values(name, dtype, shape, rng).tofile(file)
    (folder / "config.json").write_text(json.dumps(config(layers)))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=LAYERS)
    options = parser.parse_args()
    print(write(options.folder, options.layers))


if __name__ == "__main__":
    main()
