"""The sizes of the demo model."""

from __future__ import annotations

from dataclasses import dataclass

from mlxoss.core import JsonObject


@dataclass(frozen=True)
class Shape:
    """The sizes of the network; the names are those of a ``gpt_oss`` config.json."""

    num_hidden_layers: int = 4
    hidden_size: int = 128
    intermediate_size: int = 96
    num_local_experts: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    sliding_window: int = 128
    rms_norm_eps: float = 1e-5
    rope_theta: float = 150000.0

    @property
    def layer_types(self) -> tuple[str, ...]:
        """Sliding and full attention in turn, a sliding layer first."""
        pair = ("sliding_attention", "full_attention")
        return tuple(pair[i % 2] for i in range(self.num_hidden_layers))


# The rope scaling of the published gpt-oss models.
ROPE_SCALING: JsonObject = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 4096,
    "truncate": False,
}
