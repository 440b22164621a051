"""What the package never does with what others made: run it, or unpack it as code.

And the project names no package registry: what is fetched, and that it is right, stands in
``Formula/requirements.txt`` as versions and hashes; where from is up to whoever fetches.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mlxoss"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "marshal",
    "shelve",
    "joblib",
    "cloudpickle",
    "torch",
    "yaml",
}
CALLS = {"eval", "exec", "compile", "__import__"}
RUNS_CELLS = PACKAGE / "hosted/python/worker/cell.py"
"""The one that runs what a model wrote, in a process that is shut in and has tried its walls."""
METHODS = {"system", "popen", "unsafe_load", "getoutput"}


def findings(source: str) -> Iterator[str]:
    """What must not be in the text of a module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names if n.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name
            case ast.Attribute(value=ast.Name(id="os" | "subprocess"), attr=attr) if (
                attr in METHODS
            ):
                yield attr
            case ast.keyword(
                arg="shell" | "allow_pickle" | "trust_remote_code" as name, value=value
            ):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield f"{name}=..."
            case ast.Constant(value="trust_remote_code"):
                yield "trust_remote_code"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_module_runs_or_unpacks_what_others_made(file: Path) -> None:
    found = list(findings(file.read_text("utf-8")))
    assert set(found) == ({"compile", "exec"} if file == RUNS_CELLS else set())


def test_what_runs_cells_is_imported_by_the_worker_alone() -> None:
    """And so only inside the sandbox."""
    name = "hosted.python.worker.cell"
    importing = {file for file in FILES if name in file.read_text("utf-8")} - {RUNS_CELLS}
    assert importing == {RUNS_CELLS.with_name("main.py")}
    name = "hosted.python.worker.main import"
    starting = [file for file in FILES if name in file.read_text("utf-8")]
    assert starting == [PACKAGE / "hosted/python/process.py"]


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from torch import load", "import yaml", "eval('1')", "exec(text)"),
        *("import os; os.system('ls')", "run(x, shell=True)", "np.load(f, allow_pickle=True)"),
        *("load(f, trust_remote_code=flag)", "options = {'trust_remote_code': True}"),
    ],
)
def test_the_check_sees_it(source: str) -> None:
    assert len(list(findings(source))) == 1


def test_weights_are_safetensors_alone() -> None:
    """Nothing else is ever pulled, or looked for in a folder."""
    from mlxoss.engine.checkpoint.tensors import WEIGHTS
    from mlxoss.hub.cache import _SUFFIXES

    assert WEIGHTS.endswith(".safetensors")
    assert set(_SUFFIXES) == {".json", ".safetensors"}


REGISTRIES = re.compile(
    rb"\b(?:pypi|pythonhosted|npmjs|yarnpkg|rubygems|crates|debian|ubuntu|anaconda)\.(?:org|com|io)\b"
)


def named_registries(content: bytes) -> list[bytes]:
    """The hosts of package registries in a file."""
    return REGISTRIES.findall(content)


def test_no_file_names_a_package_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert len(files) > 500
    named = {str(each): named_registries(each.read_bytes()) for each in files if each.is_file()}
    assert {name: found for name, found in named.items() if found} == {}


@pytest.mark.parametrize("host", ["pypi", "files.pythonhosted", "registry.npmjs"])
def test_the_look_for_registries_sees_them(host: str) -> None:
    assert named_registries(f"url = https://{host}.org/simple".encode())
