"""An untrained model whose turns come to an end."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.harmony.encoding import CALL, END, RETURN, VOCAB_SIZE

SIGNS = [ord(sign) - ord("!") for sign in '"}],']
"""JSON's own signs, as o200k encodes them."""


class Leaning:
    """An untrained model that likes to end: ends and JSON's own signs are made likely."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.args = model.args
        lean = np.zeros(VOCAB_SIZE, dtype=np.float32)
        lean[[END, RETURN, CALL]] = 12
        lean[SIGNS] = 8
        self._lean = mx.array(lean)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        return self._model(inputs, cache=cache) + self._lean

    def make_cache(self) -> list[Any]:
        return self._model.make_cache()
