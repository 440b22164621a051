"""Make the reference logits: ``python -m tests.reference.make_golden``, about a minute.

They are of the public packages alone: transformers' ``GptOssForCausalLM`` (eager attention, its
own cache, in chunks) and OpenAI's torch model (the whole text at once), float32 on the CPU. Made
with torch 2.13.0, transformers 5.24.0 and gpt-oss 0.0.9:

    pip install torch transformers
    pip install --no-deps --ignore-requires-python gpt-oss

(gpt-oss's dependencies and its Python 3.12 are for its tools; the model needs neither.)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tests.support.reference import golden
from tests.support.reference.checkpoint import (
    LAYERS,
    Weights,
    digest,
    make_config,
    make_ids,
    make_weights,
)
from tests.support.reference.golden import POSITIONS, TOLERANCE, Golden, Row

CHUNK = 1000


def make() -> Golden:
    """Compute both; they agree far within the tolerance, or this raises."""
    weights, ids = make_weights(), make_ids()
    found = [by_transformers(weights, ids), by_openai(weights, ids)]
    made = golden.gather(digest(weights), found)
    off = float(np.abs(np.array(found[0]) - np.array(found[1])).max())
    if off > TOLERANCE / 2 or not np.array_equal(*made.argmax):
        raise AssertionError(f"the references differ by {off:.1e}")
    sys.stdout.write(f"the references differ by {off:.1e} at most\n")
    return made


def by_transformers(weights: Weights, ids: list[int]) -> list[Row]:
    """Logits (vocabulary,) at each of ``POSITIONS``."""
    import torch
    from transformers import GptOssConfig, GptOssForCausalLM

    config = GptOssConfig.from_dict(make_config(), attn_implementation="eager")
    if config.rope_parameters["truncate"] is not False:
        raise AssertionError("transformers would round YaRN's range")
    model: Any = GptOssForCausalLM(config).float().eval()
    load(model, to_transformers(weights))
    rows: list[Row] = []
    cache = None
    with torch.inference_mode():
        for start in range(0, len(ids), CHUNK):
            part = torch.tensor([ids[start : start + CHUNK]])
            kept = torch.tensor([p - start for p in POSITIONS if 0 <= p - start < CHUNK] or [0])
            out = model(part, cache=cache, use_cache=True, logits_to_keep=kept)
            cache = out.cache
            if any(0 <= p - start < CHUNK for p in POSITIONS):
                rows += list(out.logits[0].numpy())
    return rows


def by_openai(weights: Weights, ids: list[int]) -> list[Row]:
    """Logits (vocabulary,) at each of ``POSITIONS``."""
    import torch
    from gpt_oss.torch.model import ModelConfig, Transformer

    config, scaling = make_config(), make_config()["rope_scaling"]
    own = ModelConfig(
        num_hidden_layers=config["num_hidden_layers"],
        num_experts=config["num_local_experts"],
        experts_per_token=config["num_experts_per_tok"],
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        swiglu_limit=config["swiglu_limit"],
        head_dim=config["head_dim"],
        num_attention_heads=config["num_attention_heads"],
        num_key_value_heads=config["num_key_value_heads"],
        sliding_window=config["sliding_window"],
        initial_context_length=scaling["original_max_position_embeddings"],
        rope_theta=config["rope_theta"],
        rope_scaling_factor=scaling["factor"],
        rope_ntk_alpha=scaling["beta_slow"],
        rope_ntk_beta=scaling["beta_fast"],
    )
    model = Transformer(own, torch.device("cpu")).float().eval()
    load(model, to_openai(weights))
    # The head for all positions would take 5 GB.
    model.unembedding.register_forward_pre_hook(lambda _, args: (args[0][list(POSITIONS)],))
    with torch.inference_mode():
        return list(model(torch.tensor(ids)).numpy())


def load(model: Any, weights: Weights) -> None:
    """Put ``weights`` into a torch model: all of it, and nothing else."""
    import torch

    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def to_transformers(weights: Weights) -> Weights:
    """Hugging Face's names and layout: gate and up take turns, and inputs come first."""
    found = {name: value for name, value in weights.items() if ".experts." not in name}
    for layer in range(len(LAYERS)):
        own = f"model.layers.{layer}.mlp.experts."
        weight, bias = interleave(weights, own)
        found[own + "gate_up_proj"] = np.ascontiguousarray(weight.swapaxes(1, 2))
        found[own + "gate_up_proj_bias"] = bias
        down = weights[own + "down_proj.weight"]
        found[own + "down_proj"] = np.ascontiguousarray(down.swapaxes(1, 2))
        found[own + "down_proj_bias"] = weights[own + "down_proj.bias"]
    return found


def to_openai(weights: Weights) -> Weights:
    """OpenAI's names and layout: gate and up take turns, queries, keys and values are one."""
    found = {
        "embedding.weight": weights["model.embed_tokens.weight"],
        "norm.scale": weights["model.norm.weight"],
        "unembedding.weight": weights["lm_head.weight"],
    }
    for layer in range(len(LAYERS)):
        own, block = f"model.layers.{layer}.", f"block.{layer}."
        found[block + "attn.norm.scale"] = weights[own + "input_layernorm.weight"]
        found[block + "attn.sinks"] = weights[own + "self_attn.sinks"]
        for part in ("weight", "bias"):
            qkv = [weights[f"{own}self_attn.{name}_proj.{part}"] for name in "qkv"]
            found[f"{block}attn.qkv.{part}"] = np.concatenate(qkv)
            found[f"{block}attn.out.{part}"] = weights[f"{own}self_attn.o_proj.{part}"]
            found[f"{block}mlp.gate.{part}"] = weights[f"{own}mlp.router.{part}"]
            found[f"{block}mlp.mlp2_{part}"] = weights[f"{own}mlp.experts.down_proj.{part}"]
        weight, bias = interleave(weights, own + "mlp.experts.")
        found[block + "mlp.mlp1_weight"], found[block + "mlp.mlp1_bias"] = weight, bias
        found[block + "mlp.norm.scale"] = weights[own + "post_attention_layernorm.weight"]
    return found


def interleave(weights: Weights, own: str) -> tuple[Row, Row]:
    """Weight and bias of one layer's experts in which rows of gate and up take turns."""
    joined = []
    for part in ("weight", "bias"):
        gate, up = (weights[f"{own}{name}_proj.{part}"] for name in ("gate", "up"))
        shape = (gate.shape[0], 2 * gate.shape[1], *gate.shape[2:])
        joined.append(np.stack([gate, up], axis=2).reshape(shape))
    return joined[0], joined[1]


if __name__ == "__main__":
    golden.write(make())
