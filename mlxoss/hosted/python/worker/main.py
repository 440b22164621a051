"""A worker's life: it is told its bounds, shuts itself in, tries the walls, and runs cells.

Whatever goes wrong before the first cell ends it with a message that says why.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import sys
import warnings

from mlxoss.hosted.python.worker import frames
from mlxoss.hosted.python.worker.cell import Notebook, prepare
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
    notebook = Notebook(setup["data"])
    prepare(notebook, images.display)
    sys.meta_path.insert(0, ShownImages(images))
    # Figures come out at the end of the cell, whether it asks for it or not.
    warnings.filterwarnings("ignore", message=".*is non-interactive.*", category=UserWarning)
    _copy_fonts(setup["fonts"], setup["temporary"])
    while (message := frames.receive(control)) is not None:
        _open_output(output)
        notebook.run(message["code"])
        frames.send(control, {"cell": message["cell"], "images": _last_images(images)})


def _last_images(images: Images) -> list[str]:
    try:
        return [base64.b64encode(each).decode() for each in images.take()]
    except Exception as error:  # noqa: BLE001 (a figure that cannot be drawn is the cell's)
        print(f"A figure cannot be drawn: {type(error).__name__}: {error}")  # noqa: T201
        return []
    finally:
        sys.stdout.flush()


def _open_output(output: int) -> None:
    """Standard output and error are one stream, so that what is written keeps its order."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    raw = io.FileIO(output, "w", closefd=False)
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
    )
    sys.stdout = sys.stderr = stream


def _copy_fonts(fonts: str | None, temporary: str) -> None:
    """matplotlib's list of fonts, which takes it seconds to make, into the folder where it looks."""
    if fonts is not None and os.path.isdir(fonts):
        shutil.copytree(
            fonts,
            os.path.join(temporary, "matplotlib"),
            copy_function=shutil.copyfile,
            dirs_exist_ok=True,
        )
