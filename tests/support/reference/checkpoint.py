"""The checkpoint of the reference logits: small, but with all that gpt-oss's config has.

Its weights come from a seed, to the bit on every machine and with every numpy: the raw words of
PCG64, whose stream numpy promises to keep, made floats by exact steps and one multiplication.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mlxoss.harmony.encoding import FIRST_SPECIAL, VOCAB_SIZE
from tests.support.checkpoints import GPT_OSS

SEED = 20
TEXT_SEED = 5
HIDDEN = 64
LAYERS = ("sliding_attention", "full_attention", "sliding_attention")
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 64
EXPERTS, EXPERTS_PER_TOKEN = 32, 4
TOKENS = 6001
"""Length of the text whose logits are kept."""

Array = NDArray[np.float32]
Weights = dict[str, Array]


def make_config() -> dict[str, Any]:
    """A ``config.json`` with the keys of openai/gpt-oss-20b's, and its values but for the sizes."""
    return {
        **GPT_OSS,
        "vocab_size": VOCAB_SIZE,
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": len(LAYERS),
        "layer_types": list(LAYERS),
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": EXPERTS_PER_TOKEN,
        "head_dim": HEAD_DIM,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "attention_bias": True,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "pad_token_id": 199999,
    }


def make_weights() -> Weights:
    """All weights under mlx-lm's names, float32."""
    draw = _Draw(SEED)
    weights = {
        "model.embed_tokens.weight": draw(VOCAB_SIZE, HIDDEN, spread=1.0),
        "model.norm.weight": 1 + draw(HIDDEN, spread=0.1),
        "lm_head.weight": draw(VOCAB_SIZE, HIDDEN, spread=HIDDEN**-0.5),
    }
    for layer in range(len(LAYERS)):
        for name, value in _make_layer(draw).items():
            weights[f"model.layers.{layer}.{name}"] = value
    return weights


def make_ids() -> list[int]:
    """The text: ``TOKENS`` ids of words, from the seed."""
    raw = np.random.PCG64(TEXT_SEED).random_raw(TOKENS)
    return [int(word) % FIRST_SPECIAL for word in raw]


def digest(weights: Mapping[str, Array]) -> str:
    """What tells these weights from others."""
    found = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        found.update(f"{name} {value.shape} {value.dtype}\n".encode())
        found.update(np.ascontiguousarray(value).data)
    return found.hexdigest()


def write_checkpoint(folder: Path, weights: Weights) -> Path:
    """Write it as mlx-lm does into ``folder`` and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(make_config()))
    return folder


class _Draw:
    """Numbers spread evenly around 0, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def __call__(self, *shape: int, spread: float) -> Array:
        """``spread`` is their standard deviation."""
        count = int(np.prod(shape))
        words = self._bits.random_raw((count + 1) // 2).astype("<u8").view("<u4")[:count]
        # 24 bits, which a float32 holds exactly, from -1 to 1.
        even = (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - np.float32(1)
        return (even * np.float32(3**0.5 * spread)).reshape(shape)


def _make_layer(draw: _Draw) -> Weights:
    """One layer. Queries and keys are large enough that attention is peaked, as a trained one's,
    and the experts' so that some values are beyond ``swiglu_limit``."""
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    layer = {
        "input_layernorm.weight": 1 + draw(HIDDEN, spread=0.1),
        "post_attention_layernorm.weight": 1 + draw(HIDDEN, spread=0.1),
        "self_attn.sinks": 1 + draw(HEADS, spread=1.0),
        "mlp.router.weight": draw(EXPERTS, HIDDEN, spread=HIDDEN**-0.5),
        "mlp.router.bias": draw(EXPERTS, spread=0.1),
    }
    linears = {"q_proj": (q, HIDDEN, 1.5), "k_proj": (kv, HIDDEN, 1.5)}
    linears |= {"v_proj": (kv, HIDDEN, 1.0), "o_proj": (HIDDEN, q, 1.0)}
    for name, (out, width, gain) in linears.items():
        layer[f"self_attn.{name}.weight"] = draw(out, width, spread=gain * width**-0.5)
        layer[f"self_attn.{name}.bias"] = draw(out, spread=0.1)
    for name, gain in (("gate_proj", 2.5), ("up_proj", 2.5), ("down_proj", 1.0)):
        spread = gain * HIDDEN**-0.5
        layer[f"mlp.experts.{name}.weight"] = draw(EXPERTS, HIDDEN, HIDDEN, spread=spread)
        layer[f"mlp.experts.{name}.bias"] = draw(EXPERTS, HIDDEN, spread=0.1)
    return layer
