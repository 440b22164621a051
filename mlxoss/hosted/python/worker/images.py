"""What a cell shows besides text: figures of matplotlib that are open at its end, and images.

Nothing is imported for it: a cell that imported no matplotlib has no figures.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import io
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_PYPLOT, _PIL, _SHOW = "matplotlib.pyplot", "PIL.Image", "PIL.ImageShow"


class Images:
    """PNG files in the order in which they were shown; ``most`` of them and ``most_bytes`` each."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._held: list[bytes] = []
        self._shown: set[int] = set()
        self._left_out = 0

    def display(self, *values: object) -> None:
        """As a notebook's ``display``: an image is shown, anything else is printed."""
        for value in values:
            if not self.show(value):
                print(repr(value))  # noqa: T201

    def show(self, value: object) -> bool:
        """Keep ``value`` if it is a figure or an image; whether it was one."""
        save = _saver(value)
        if save is not None:
            self._keep(save)
            self._shown.add(id(value))
        return save is not None

    def take(self) -> list[bytes]:
        """Those of this cell, with its open figures, which are closed."""
        pyplot = sys.modules.get(_PYPLOT)
        try:
            if pyplot is not None:
                self._take_figures(pyplot)
        finally:
            held, self._held = self._held, []
            self._shown.clear()
        if self._left_out:
            print(f"[{self._left_out} images are left out: too many, or too large]")  # noqa: T201
            self._left_out = 0
        return held

    def _take_figures(self, pyplot: Any) -> None:
        try:
            for number in pyplot.get_fignums():
                self._take_figure(pyplot.figure(number))
        finally:
            pyplot.close("all")

    def _take_figure(self, figure: Any) -> None:
        if id(figure) in self._shown:
            return
        try:
            self.show(figure)
        except Exception as error:  # noqa: BLE001 (whatever the cell drew)
            print(f"A figure cannot be drawn: {type(error).__name__}: {error}")  # noqa: T201
        else:
            print(_told(figure))  # noqa: T201

    def _keep(self, save: Callable[[io.BytesIO], Any]) -> None:
        file = io.BytesIO()
        if len(self._held) < self._most:
            save(file)
        if 0 < len(file.getvalue()) <= self._most_bytes:
            self._held.append(file.getvalue())
        else:
            self._left_out += 1


def _saver(value: object) -> Callable[[io.BytesIO], Any] | None:
    """What writes ``value`` as PNG; ``None`` if it is no picture."""
    figures, images = sys.modules.get("matplotlib.figure"), sys.modules.get(_PIL)
    if figures is not None and isinstance(value, figures.Figure):
        figure: Any = value
        return lambda file: figure.savefig(file, format="png", bbox_inches="tight")
    if images is not None and isinstance(value, images.Image):
        image: Any = value
        return lambda file: image.save(file, format="PNG")
    return None


def _told(figure: Any) -> str:
    """A figure in a notebook's text."""
    width, height = (round(each) for each in figure.get_size_inches() * figure.dpi)
    count = len(figure.axes)
    return f"<Figure size {width}x{height} with {count} Axes>"


class ShownImages(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for ``PIL.ImageShow``, which would start a viewer: ``image.show()`` shows it here."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """That module's, and no other."""
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == _SHOW else None

    def exec_module(self, module: ModuleType) -> None:
        """Give it what Pillow asks of it."""

        def show(image: object, title: str | None = None, **options: object) -> bool:
            return self._images.show(image)

        vars(module)["show"] = show
