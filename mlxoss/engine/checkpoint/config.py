"""What ``config.json`` says of a gpt_oss, read strictly: what is missing or odd has a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlxoss.core import VOCAB_SIZE, JsonMapping
from mlxoss.engine.checkpoint.yarn import Yarn, read_yarn

CONTEXT_TOKENS = 131072
MODEL_TYPE = "gpt_oss"

_SWIGLU_LIMIT = 7.0
_RMS_NORM_EPS = 1e-5
_MOST = (1 << 31) - 1
"""What no size is beyond."""
_SLIDING, _FULL = "sliding_attention", "full_attention"
_ORIGINAL = {"num_experts", "experts_per_token", "rope_scaling_factor"}
_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "num_local_experts",
    "num_experts_per_tok",
)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A gpt_oss's sizes, by the names that ``config.json`` has for them.

    ``layer_types`` are one word per layer. ``max_position_embeddings`` is the longest context.
    ``raw`` is the file's content, in Hugging Face's words also where OpenAI's own were read.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    num_local_experts: int
    num_experts_per_tok: int
    sliding_window: int
    layer_types: tuple[str, ...]
    max_position_embeddings: int
    yarn: Yarn
    raw: JsonMapping

    @property
    def full_layers(self) -> int:
        """How many layers attend to everything before."""
        return self.layer_types.count(_FULL)

    @property
    def window_layers(self) -> int:
        """How many layers attend to the last ``sliding_window`` tokens alone."""
        return self.layer_types.count(_SLIDING)


def to_hugging_face(config: JsonMapping) -> JsonMapping:
    """``config`` as it is, or OpenAI's own (``original/config.json``) in Hugging Face's words.

    The names are those of ``ModelConfig`` in ``gpt_oss/torch/model.py``.
    """
    if "model_type" in config or not set(config) >= _ORIGINAL:
        return config
    return {
        **config,
        "model_type": MODEL_TYPE,
        "num_local_experts": config["num_experts"],
        "num_experts_per_tok": config["experts_per_token"],
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": config["rope_scaling_factor"],
            "beta_fast": config.get("rope_ntk_beta"),
            "beta_slow": config.get("rope_ntk_alpha"),
            "original_max_position_embeddings": config.get("initial_context_length"),
            "truncate": False,
        },
    }


def read_config(config: JsonMapping) -> ModelConfig:
    """Read the content of a gpt_oss's ``config.json``.

    Raises ``ValueError`` that goes on after the folder's name and says which key is wrong.
    """
    sizes = {key: _whole(config, key) for key in _SIZES}
    limit = config.get("swiglu_limit", _SWIGLU_LIMIT)
    if limit != _SWIGLU_LIMIT:
        raise ValueError(f"its config.json has swiglu_limit {limit!r}, and gpt_oss's is 7.0")
    epsilon = config.get("rms_norm_eps", _RMS_NORM_EPS)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise ValueError(f"its config.json has rms_norm_eps {epsilon!r}")
    if sizes["num_experts_per_tok"] > sizes["num_local_experts"]:
        raise ValueError("its config.json has num_experts_per_tok above num_local_experts")
    if sizes["num_attention_heads"] % sizes["num_key_value_heads"]:
        raise ValueError("num_key_value_heads of its config.json does not divide the heads")
    yarn = read_yarn(config)
    return ModelConfig(
        vocab_size=_whole(config, "vocab_size", VOCAB_SIZE),
        head_dim=_whole(config, "head_dim", 64),
        sliding_window=_whole(config, "sliding_window", 128),
        layer_types=_layer_types(config.get("layer_types"), sizes["num_hidden_layers"]),
        max_position_embeddings=_context_tokens(config, yarn),
        yarn=yarn,
        raw=config,
        **sizes,
    )


def _whole(config: JsonMapping, key: str, default: int | None = None) -> int:
    if key not in config:
        if default is None:
            raise ValueError(f"its config.json does not say {key}")
        return default
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
        raise ValueError(f"its config.json has {key} {value!r}")
    return value


def _layer_types(given: Any, layers: int) -> tuple[str, ...]:
    """One per layer, both kinds among them; alternating, a window first, where none are given."""
    types = [_SLIDING, _FULL] * (layers // 2) if given is None else given
    if not isinstance(types, list) or len(types) != layers:
        raise ValueError(f"layer_types of its config.json are not those of {layers} layers")
    if not all(isinstance(kind, str) for kind in types) or set(types) != {_SLIDING, _FULL}:
        raise ValueError(f"layer_types of its config.json are not {_SLIDING} and {_FULL}")
    return tuple(types)


def _context_tokens(config: JsonMapping, yarn: Yarn) -> int:
    """``max_position_embeddings``; OpenAI's own checkpoints give the factors of it instead."""
    if config.get("max_position_embeddings") is not None:
        return _whole(config, "max_position_embeddings")
    if config.get("initial_context_length") is not None:
        return int(_whole(config, "initial_context_length") * yarn.factor)
    return CONTEXT_TOKENS
