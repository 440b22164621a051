"""The one door to mlx-lm: what is used of it, imported without its tokenizers.

mlx-lm's package imports transformers as a whole, which takes several times as long as all that a
served model needs of it: its layers, caches and batches. None of these touch a tokenizer. So while
they are imported the package's own ``__init__`` does not run, and stand-ins are in the place of the
modules that are left out (``_LEFT_OUT``). Afterwards what saw a stand-in is no longer in
``sys.modules``, so that ``import mlx_lm`` elsewhere in the process is mlx-lm as it was published.

Where mlx-lm is imported already it is taken as it is, and so it is where this way fails, as with a
version that needs more of those modules.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

logger = logging.getLogger(__name__)

_PACKAGE = "mlx_lm"
_LEFT_OUT = {
    "transformers": ("PreTrainedTokenizer",),
    "huggingface_hub": ("snapshot_download",),
    f"{_PACKAGE}.tokenizer_utils": ("TokenizerWrapper", "load"),
}
"""Modules, and what mlx-lm takes from each while it is imported."""


class _Missing:
    """In the place of what nothing here comes to."""


@contextmanager
def _without_tokenizers() -> Iterator[None]:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ImportError(f"{_PACKAGE} is not installed")
    added = {_PACKAGE: importlib.util.module_from_spec(spec)}
    for name, attributes in _LEFT_OUT.items():
        if name not in sys.modules:
            added[name] = ModuleType(name)
            added[name].__dict__.update(dict.fromkeys(attributes, _Missing))
    sys.modules.update(added)
    try:
        yield
    finally:
        # Of a copy, as below: other threads may import meanwhile.
        mine = [name for name in list(sys.modules) if name.startswith(f"{_PACKAGE}.")]
        saw = [name for name in mine if _Missing in _plain_values(sys.modules[name])]
        for name in {*added, *saw}:
            sys.modules.pop(name, None)


def _plain_values(module: ModuleType) -> list[Any]:
    named = getattr(module, "__dict__", {})  # an entry may be ``None``
    return [value for value in list(named.values()) if isinstance(value, type)]


def _import(names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(importlib.import_module(f"{_PACKAGE}.{name}") for name in names)


def _import_parts(*names: str) -> tuple[Any, ...]:
    if _PACKAGE in sys.modules:
        return _import(names)
    try:
        with _without_tokenizers():
            return _import(names)
    except (ImportError, AttributeError) as error:
        logger.warning("mlx-lm cannot be imported without its tokenizers: %s", error)
        return _import(names)


if TYPE_CHECKING:
    generators: Any
    from mlx_lm.generate import (
        BatchGenerator,
        GenerationBatch,
        PromptProcessingBatch,
        StopSequences,
    )
    from mlx_lm.models import gpt_oss
    from mlx_lm.models.activations import swiglu_oai
    from mlx_lm.models.base import create_attention_mask
    from mlx_lm.models.cache import (
        BatchKVCache,
        BatchRotatingKVCache,
        KVCache,
        RotatingKVCache,
    )
    from mlx_lm.models.switch_layers import _gather_sort, _scatter_unsort
else:
    generators, gpt_oss, _activations, _base, _cache, _layers = _import_parts(
        "generate",
        "models.gpt_oss",
        "models.activations",
        "models.base",
        "models.cache",
        "models.switch_layers",
    )
    BatchGenerator = generators.BatchGenerator
    GenerationBatch = generators.GenerationBatch
    PromptProcessingBatch = generators.PromptProcessingBatch
    StopSequences = generators.StopSequences
    swiglu_oai = _activations.swiglu_oai
    create_attention_mask = _base.create_attention_mask
    BatchKVCache = _cache.BatchKVCache
    BatchRotatingKVCache = _cache.BatchRotatingKVCache
    KVCache = _cache.KVCache
    RotatingKVCache = _cache.RotatingKVCache
    _gather_sort = _layers._gather_sort
    _scatter_unsort = _layers._scatter_unsort

"""``generators`` is the module that the batches are from, whose names may be exchanged."""

gather_sort = _gather_sort
"""Rows and expert numbers, sorted by expert, and the order that undoes it."""

scatter_unsort = _scatter_unsort
"""The reverse of ``gather_sort``."""

__all__ = [
    "BatchGenerator",
    "BatchKVCache",
    "BatchRotatingKVCache",
    "GenerationBatch",
    "KVCache",
    "PromptProcessingBatch",
    "RotatingKVCache",
    "StopSequences",
    "create_attention_mask",
    "gather_sort",
    "generators",
    "gpt_oss",
    "scatter_unsort",
    "swiglu_oai",
]
