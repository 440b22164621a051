"""Has MLX compute on the CPU in whatever process imports this, as soon as it imports MLX.

Python imports a file of this name by itself at its start (``site``): the folder in PYTHONPATH
takes in every process that inherits it, a copy in a virtual environment every one of that
environment, services too. A virtual machine's Metal may compute anything.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _OnCpu:
    """Finds ``mlx.core`` as the others do, once, and adds a line to its beginning."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "mlx.core":
            return None
        sys.meta_path.remove(_OnCpu)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_choose(module: ModuleType) -> None:
            load(module)
            _choose_cpu(module)

        spec.loader.exec_module = load_and_choose  # type: ignore[method-assign]
        return spec


def _choose_cpu(core: ModuleType) -> None:
    core.set_default_device(core.cpu)
    # For the CPU it fuses operations with a C++ compiler, which a Mac without Xcode has not.
    core.disable_compile()


def choose_cpu() -> None:
    """Now, if MLX is there already; else when it comes."""
    core = sys.modules.get("mlx.core")
    if core is not None:
        _choose_cpu(core)
    elif _OnCpu not in sys.meta_path:
        sys.meta_path.insert(0, _OnCpu)


choose_cpu()
