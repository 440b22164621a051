"""Training parameters to the shipped file: ``python -m mlxoss.demo.training.export PARAMS.npz``."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mlxoss.core import JsonObject
from mlxoss.demo import DEMO_CONTEXT_TOKENS
from mlxoss.demo.training.shape import ROPE_SCALING, Shape
from mlxoss.harmony.encoding import VOCAB_SIZE

DATA = Path(__file__).parent.parent / "data"


def model_config(shape: Shape) -> JsonObject:
    """The config.json of the expanded checkpoint."""
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "vocab_size": VOCAB_SIZE,
        **asdict(shape),
        "layer_types": list(shape.layer_types),
        "num_experts_per_tok": shape.num_local_experts,
        "experts_per_token": shape.num_local_experts,
        "rope_scaling": ROPE_SCALING,
        "max_position_embeddings": DEMO_CONTEXT_TOKENS,
        "attention_bias": True,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "eos_token_id": 200002,
        "pad_token_id": 199999,
        "quantization": {"group_size": 64, "bits": 8},
    }


def pack(params: Mapping[str, np.ndarray]) -> bytes:
    """A compressed npz: ``rows`` as int32, all else in float16. Same input, same bytes."""
    arrays: JsonObject = {
        name: value if name == "rows" else value.astype(np.float16)
        for name, value in sorted(params.items())
    }
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def export(params_file: Path, folder: Path) -> None:
    """Write ``weights.npz`` and ``manifest.json`` into ``folder``."""
    with np.load(params_file) as params:
        packed = pack(dict(params))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.npz").write_bytes(packed)
    manifest = {
        "weights_sha256": hashlib.sha256(packed).hexdigest(),
        "config": model_config(Shape()),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("params", type=Path)
    parser.add_argument("--out", type=Path, default=DATA)
    options = parser.parse_args()
    export(options.params, options.out)


if __name__ == "__main__":
    main()
