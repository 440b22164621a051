"""An untrained model whose turns come to an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from safetensors.numpy import load_file, save_file

from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.harmony.encoding import CALL, END, RETURN, VOCAB_SIZE

_SIGNS = [ord(sign) - ord("!") for sign in '"}],']


class Leaning:
    """An untrained model that likes to end: ends and JSON's own signs are made likely."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.args = model.args
        lean = np.zeros(VOCAB_SIZE, dtype=np.float32)
        lean[[END, RETURN, CALL]] = 12
        lean[_SIGNS] = 8
        self._lean = mx.array(lean)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        return self._model(inputs, cache=cache) + self._lean

    def make_cache(self) -> list[Any]:
        return self._model.make_cache()


def make_lean(folder: Path) -> Path:
    """Have the checkpoint in ``folder``, of float32 and not quantised, lean by its weights alone.

    The residual stream's first value becomes the same for each token, which nothing adds to.
    """
    file = folder / "model.safetensors"
    weights = load_file(file)
    for name, value in weights.items():
        if ".o_proj." in name:
            value[0] = 0
        elif ".down_proj." in name:
            value[:, 0] = 0
    weights["model.embed_tokens.weight"][:, 0] = 4
    head = weights["lm_head.weight"]
    head[:, 0] = 0
    head[[END, RETURN, CALL], 0] = 6
    head[_SIGNS, 0] = 4
    save_file(weights, file, metadata={"format": "mlx"})
    return folder
