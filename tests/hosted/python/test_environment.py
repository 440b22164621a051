"""The real packages, installed as a user installs them, and used in the real sandbox."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from Formula.requirements import CELLS, PROJECT, environments, find_faults, read_cells, read_pins
from mlxoss.hosted.python.environment import REQUIREMENTS, environment_in
from mlxoss.outcomes import ToolImage
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import mlxoss
from tests.support.hosted.cells import Cells
from tests.support.http import ask

TEXT = CELLS.read_text(encoding="utf-8")


def test_what_is_installed_is_pinned_whole_and_right() -> None:
    assert CELLS == REQUIREMENTS
    wanted = read_cells(PROJECT.read_text(encoding="utf-8"))
    assert find_faults(read_pins(TEXT), wanted) == [], "run: python Formula/requirements.py"


def test_it_has_the_packages_for_each_system_and_each_python() -> None:
    for where in environments():
        names = [pin.name for pin in read_pins(TEXT) if pin.applies(where)]
        assert {"numpy", "pandas", "sympy", "matplotlib", "pillow"} <= set(names)
        assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, refused: str | None) -> Path:
    if refused:
        pytest.skip(refused)
    home = tmp_path_factory.mktemp("home")
    done = mlxoss(home, "tools", "enable", "python")
    if "pip failed" in done.stderr:
        pytest.skip(f"the packages cannot be had here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "mlxoss restart" in done.stdout
    assert "already" in mlxoss(home, "tools", "enable", "python").stdout
    assert "python   on" in mlxoss(home, "tools").stdout
    return home


@pytest.fixture(scope="module")
def packed(home: Path) -> Iterator[Cells]:
    made = Cells(home / "cache", environment_in(home / "mlxoss/data"))
    yield made
    made.close()


def size_of(image: ToolImage) -> tuple[int, int]:
    """Width and height of a PNG, from its first chunk."""
    assert image.mime_type == "image/png"
    width, height = struct.unpack(">II", image.data[16:24])
    return width, height


@pytest.mark.slow
def test_a_plot_comes_out_as_an_image(packed: Cells) -> None:
    outcome = packed.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert outcome.logs == "<Figure size 640x480 with 1 Axes>"
    (image,) = outcome.images
    assert min(size_of(image)) > 100
    assert packed.run("1").images == ()
    outcome = packed.run("for _ in range(3): plt.figure()\nplt.plot([1]);")
    assert len(outcome.images) == 3
    outcome = packed.run("figure = plt.figure()\nplt.plot([1])\nfigure")
    assert len(outcome.images) == 1
    assert len(packed.run("for _ in range(12): plt.figure()").images) == 8
    outcome = packed.run("plt.figure(figsize=(600, 600)); plt.figure(); x = 1")
    assert "cannot be drawn" in outcome.logs or "left out" in outcome.logs
    assert len(outcome.images) == 1


@pytest.mark.slow
def test_images_that_are_shown_come_out(packed: Cells) -> None:
    code = "from PIL import Image\nimage = Image.new('RGB', (30, 20), 'red')\n"
    for show in ("image.show()", "image", "display(image)", "import PIL.ImageShow\nimage.show()"):
        outcome = packed.run(code + show)
        assert [size_of(each) for each in outcome.images] == [(30, 20)], show


@pytest.mark.slow
def test_numbers_tables_and_algebra(packed: Cells) -> None:
    assert packed.say("import numpy as np\nint(np.arange(10).sum())") == "45"
    assert (
        packed.say("a = np.random.default_rng(1).random((300, 300))\n(a @ a.T).shape")
        == "(300, 300)"
    )
    table = packed.say("import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})")
    assert table == "   a  b\n0  1  x\n1  2  y"
    assert packed.say("pd.DataFrame({'a': [1]}).to_csv('/mnt/data/a.csv')") == ""
    assert packed.say("pd.read_csv('/mnt/data/a.csv').shape") == "(1, 2)"
    said = packed.say("pd.Timestamp('2024-07-01', tz='Europe/Berlin').utcoffset()")
    assert said == "datetime.timedelta(seconds=7200)"
    assert packed.say("import sympy\nx = sympy.symbols('x')\nsympy.integrate(x**2, x)") == "x**3/3"


@pytest.mark.slow
def test_the_packages_are_shown_without_their_place_and_cannot_be_changed(packed: Cells) -> None:
    assert packed.say("import numpy\nnumpy.__file__") == "'/python/site-packages/numpy/__init__.py'"
    assert "PermissionError" in packed.say("open(numpy.__file__, 'a')")
    assert "PermissionError" in packed.say("import os\nos.unlink(numpy.__file__)")
    assert "PermissionError" in packed.say("np.fromfile('/etc/passwd')")


@pytest.mark.slow
def test_an_array_that_is_too_large_is_an_error(packed: Cells) -> None:
    assert "MemoryError" in packed.say("import numpy as np\nnp.ones((40, 1000, 1000, 100))")


@pytest.mark.slow
def test_the_demo_has_python_compute(home: Path) -> None:
    """The README's question, by the bundled model, in the real sandbox."""
    body = {
        "model": "mlxoss-demo",
        "input": "What is 12345 * 6789? Use python.",
        "temperature": 0,
        "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}],
        "include": ["code_interpreter_call.outputs"],
    }
    with start_daemon(home) as daemon:
        daemon.wait_until_loaded()
        port = int(str(daemon.url).rpartition(":")[2])
        output = ask(port, "POST", "/v1/responses", body).json["output"]
    (call,) = (item for item in output if item["type"] == "code_interpreter_call")
    assert call["code"] == "print(12345 * 6789)"
    assert call["outputs"] == [{"type": "logs", "logs": "83810205"}]
    assert output[-1]["content"][0]["text"] == "The answer: 83810205"
