"""A worker's life: it is told its bounds, shuts itself in, tries the walls, and runs cells.

Whatever goes wrong before the first cell ends it with a message that says why.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import warnings
from contextlib import suppress

from mlxoss.hosted.python.worker import frames
from mlxoss.hosted.python.worker.cell import Notebook
from mlxoss.hosted.python.worker.confine import Setup, confine
from mlxoss.hosted.python.worker.images import Images, ShownImages
from mlxoss.hosted.python.worker.proof import find_hole


def main() -> None:
    """Serve the daemon at the other end of standard input until it closes."""
    control, output = _take_descriptors()
    setup = frames.receive(control)
    if setup is None:
        return
    try:
        confine(setup)
        hole = find_hole(setup["outside"], setup["parent"])
    except (OSError, ValueError) as error:
        frames.send(control, {"refused": str(error)})
        return
    if hole:
        frames.send(control, {"refused": f"code could still {hole}"})
        return
    sys.path += setup["packages"]
    for name in [each for each in sys.modules if each.partition(".")[0] == "mlxoss"]:
        del sys.modules[name]
    frames.send(control, {"ready": True})
    _serve(control, output, setup)


def _take_descriptors() -> tuple[int, int]:
    """The socket to the daemon, and where text goes, under numbers of their own.

    Code that reads standard input finds its end.
    """
    control, output = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control, output


def _serve(control: int, output: int, setup: Setup) -> None:
    images = Images(setup["images"], setup["image_bytes"])
    notebook = Notebook(setup["data"], images.show)
    notebook.namespace["display"] = images.display
    sys.meta_path.insert(0, ShownImages(images))
    # Figures come out at the end of the cell, whether it asks for it or not.
    warnings.filterwarnings("ignore", message=".*is non-interactive.*", category=UserWarning)
    _copy_fonts(setup["fonts"], setup["temporary"])
    stream = Stream(output)
    while (message := frames.receive(control)) is not None:
        stream.restore()
        failed = notebook.run(message["code"])
        stream.restore()
        print(failed, end="")  # noqa: T201
        shown = images.take()
        sys.stdout.flush()
        frames.send(control, {"cell": message["cell"], "images": [len(each) for each in shown]})
        for each in shown:
            frames.send_bytes(control, each)


class Stream:
    """Standard output and error: one stream, so that what is written keeps its order."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._stream = self._open()

    def restore(self) -> None:
        """Undo what a cell did to either, after what it wrote."""
        for each in (sys.stdout, sys.stderr):
            # Whatever it put there, which may be anything, and may close ours when it goes.
            with suppress(Exception):
                each.flush()
        _set_streams(None)
        if not self._is_open():
            self._stream = self._open()
        os.dup2(self._output, 1)
        os.dup2(self._output, 2)
        _set_streams(self._stream)

    def _is_open(self) -> bool:
        try:
            return not self._stream.closed
        except ValueError:  # its buffer was taken away (``detach``)
            return False

    def _open(self) -> io.TextIOWrapper:
        raw = io.FileIO(self._output, "w", closefd=False)
        buffer = io.BufferedWriter(raw)
        return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)


def _set_streams(stream: io.TextIOWrapper | None) -> None:
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        setattr(sys, name, stream)


def _copy_fonts(fonts: str | None, temporary: str) -> None:
    """Put matplotlib's list of fonts, which takes it seconds to make, where it looks."""
    if fonts is not None and os.path.isdir(fonts):
        shutil.copytree(
            fonts,
            os.path.join(temporary, "matplotlib"),
            copy_function=shutil.copyfile,
            dirs_exist_ok=True,
        )
