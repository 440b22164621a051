"""YaRN, as gpt-oss was trained with it: how far each pair of a head turns from token to token.

After OpenAI's ``gpt_oss/torch/model.py`` and transformers' ``modeling_rope_utils.py``, which agree.
Pairs that turn often within the first training's context keep their frequency, those that turn
hardly at all are slowed by ``factor``, and between the two lies a ramp. mlx-lm rounds the ends of
that ramp to whole pairs whatever the configuration says, gpt-oss does not (``truncate: false``):
9 of its 32 pairs then turn at a wrong speed, up to 76 %, and logits drift with the distance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlxoss.core import JsonMapping

if TYPE_CHECKING:  # a server is there before it is needed
    import numpy as np
    from numpy.typing import NDArray

_THETA = 150_000.0
"""What gpt-oss's is; older configurations leave it out where it is the usual one."""

_MOST = 1e12
"""What no number of YaRN's is beyond, nor could be computed with in float32."""

_NEUTRAL: Mapping[str, object] = {"partial_rotary_factor": 1.0}
"""Keys that say nothing new with these values."""


@dataclass(frozen=True, slots=True)
class Yarn:
    """What a configuration says of positions.

    ``original_tokens`` is the context of the first training. A pair that turns ``beta_fast`` times
    in it or more keeps its frequency, one that turns ``beta_slow`` times or less is slowed by
    ``factor``; ``truncate`` rounds those two ends to whole pairs. Queries and keys are multiplied
    by ``magnitude``.
    """

    theta: float
    factor: float
    original_tokens: float
    beta_fast: float
    beta_slow: float
    truncate: bool
    magnitude: float

    def frequencies(self, head_dim: int) -> NDArray[np.float32]:
        """Radians per token of each of the ``head_dim / 2`` pairs, shape (head_dim / 2,).

        In float32 as the references compute them: at far positions a bit more would be a
        difference.
        """
        import numpy as np

        low, high = (self._pair_of(turns, head_dim) for turns in (self.beta_fast, self.beta_slow))
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_dim - 1)
        one = np.float32(1)
        waves = (self.theta ** (np.arange(0, head_dim, 2) / head_dim)).astype(np.float32)
        pairs = np.arange(head_dim // 2, dtype=np.float32)
        slowed = np.clip((pairs - np.float32(low)) / np.float32(max(high - low, 0.001)), 0, 1)
        kept = one - slowed
        slow: NDArray[np.float32] = one / (np.float32(self.factor) * waves)
        mixed: NDArray[np.float32] = slow * (one - kept) + one / waves * kept
        return mixed

    def _pair_of(self, turns: float, head_dim: int) -> float:
        """The pair, not a whole number, that turns so often in the original context."""
        wave = self.original_tokens / (turns * 2 * math.pi)
        return head_dim * math.log(wave) / (2 * math.log(self.theta))


def read_yarn(config: JsonMapping) -> Yarn:
    """What ``config.json`` says: ``rope_scaling``, or ``rope_parameters`` as transformers 5 writes.

    A gpt_oss that says nothing of ``truncate`` means ``false``, as all of OpenAI's. Raises
    ``ValueError`` that names the key where positions are not YaRN's or a factor is missing: served
    without, such a model would answer nonsense.
    """
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    rope = config.get(key)
    if not isinstance(rope, dict) or not rope:
        raise ValueError("its config.json has neither rope_scaling nor rope_parameters")
    kind = rope.get("rope_type", rope.get("type"))
    if kind != "yarn":
        raise ValueError(f"{key} of its config.json is of the type {kind!r} and not 'yarn'")
    reader = _Reader(key, {"rope_theta": config.get("rope_theta"), **rope})
    factor = reader.number("factor", least=1.0)
    yarn = Yarn(
        theta=reader.number("rope_theta", least=2.0, default=_THETA),
        factor=factor,
        original_tokens=reader.number("original_max_position_embeddings", least=1.0),
        beta_fast=reader.number("beta_fast", least=0.01, default=32.0),
        beta_slow=reader.number("beta_slow", least=0.01, default=1.0),
        truncate=bool(reader.take("truncate")),
        magnitude=_magnitude(reader, factor),
    )
    reader.finish()
    if yarn.beta_slow >= yarn.beta_fast:
        raise ValueError(f"{key} of its config.json has a beta_slow that is not below beta_fast")
    return yarn


def _magnitude(reader: _Reader, factor: float) -> float:
    """As transformers: given, or by ``mscale`` and ``mscale_all_dim``, or by the factor alone."""
    grown = 0.1 * math.log(factor)
    scale = reader.number("mscale", least=0.0, default=0.0)
    all_dim = reader.number("mscale_all_dim", least=0.0, default=0.0)
    usual = (grown * scale + 1.0) / (grown * all_dim + 1.0) if scale and all_dim else grown + 1.0
    return reader.number("attention_factor", least=0.0, default=usual)


class _Reader:
    """Takes a table's keys one by one, so that none is passed over."""

    def __init__(self, name: str, table: JsonMapping) -> None:
        self._name = name
        self._left = {key: value for key, value in table.items() if value is not None}

    def take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def number(self, key: str, *, least: float, default: float | None = None) -> float:
        """A number from ``least`` to ``_MOST``; where it is absent ``default``, if there is one."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= _MOST:
            raise ValueError(f"{self._name} of its config.json has {key} {value!r}")
        return float(value)

    def finish(self) -> None:
        for key, value in self._left.items():
            if key not in ("rope_type", "type") and _NEUTRAL.get(key) != value:
                raise ValueError(f"{self._name} of its config.json has {key}, which is not known")
