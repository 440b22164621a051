"""mlx-lm comes in by one door, without its tokenizers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mlxoss

QUICK = """
import sys
from mlxoss.engine.mlx import lm
heavy = {"transformers", "tokenizers", "huggingface_hub", "mlx_lm"} & set(sys.modules)
assert not heavy, heavy
assert lm.gpt_oss.Model.__module__ == "mlx_lm.models.gpt_oss"
"""
AFTERWARDS = """
import mlx_lm
from mlx_lm.models.cache import KVCache
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_model
assert KVCache is lm.KVCache
assert TokenizerWrapper.__module__ == "mlx_lm.tokenizer_utils"
assert mlx_lm.load is sys.modules["mlx_lm.utils"].load
"""
BEFORE = """
import sys
import mlx_lm.generate
from mlx_lm.generate import BatchGenerator
from mlxoss.engine.mlx import lm
assert lm.BatchGenerator is BatchGenerator
"""
FAILS = """
import sys
from mlxoss.engine import mlx
sys.modules["mlx_lm.models.switch_layers"] = None
try:
    from mlxoss.engine.mlx import lm
except ImportError as error:
    assert "switch_layers" in str(error), error
else:
    raise AssertionError("it was imported")
assert "transformers" not in sys.modules or sys.modules["transformers"].__spec__ is not None
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_neither_transformers_nor_the_hub_is_imported() -> None:
    run(QUICK)


def test_mlx_lm_is_whole_for_others_afterwards() -> None:
    run(QUICK + AFTERWARDS)


def test_it_is_taken_as_it_is_where_it_is_there_already() -> None:
    run(BEFORE)


def test_nothing_is_left_in_the_place_of_others_where_it_fails() -> None:
    run(FAILS)


def test_there_is_no_other_door() -> None:
    package = Path(mlxoss.__file__).parent
    # Training the demo is no part of serving.
    files = [file for file in package.rglob("*.py") if "training" not in file.parts]
    door = re.compile(r"^\s*(from|import) mlx_lm[.\s]", re.MULTILINE)
    assert [file.name for file in files if door.search(file.read_text())] == ["lm.py"]
