"""The package as an installer lays it out, in folders that an upgrade changes and removes.

``current`` leads to one of the folders beside it, as Homebrew's ``opt`` leads into its Cellar. What
mlxoss stands on is that of the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import mlxoss

PACKAGE = Path(mlxoss.__file__).parent
_SCRIPT = """#!{python}
import sys
from mlxoss.cli.main import main
sys.exit(main())
"""
_WATCH = """
import os, sys
def note(event, arguments, folders={folders!r}):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(folders):
        os.write(watched, (arguments[0] + "\\n").encode())
if name := os.environ.get("WATCHED_FILE"):
    watched = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    sys.addaudithook(note)
for name in {theirs!r}:
    with open(name) as file:
        exec(compile(file.read(), name, "exec"), {{"__name__": "sitecustomize"}})
"""


class Installed:
    """Versions of mlxoss under ``root``; ``command`` is that of the current one.

    With ``WATCHED_FILE`` in its environment a process notes there what it opens of mlxoss's own
    files, its dependencies' and Python's.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.command = root / "current" / "bin" / "mlxoss"

    def add(self, version: str) -> Path:
        """Install a version; its folder."""
        folder = self.root / version
        paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
        site = Path(paths["purelib"])
        shutil.copytree(PACKAGE, site / "mlxoss", ignore=shutil.ignore_patterns("__pycache__"))
        init = site / "mlxoss" / "__init__.py"
        init.write_text(
            re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text())
        )
        self._add_record(site, version)
        dependencies = [each for each in sys.path if each.endswith("-packages")]
        (site / "dependencies.pth").write_text("\n".join([*dependencies, ""]))
        watched = (str(site), *dependencies, sysconfig.get_path("stdlib"))
        # Python reads one file of that name only: theirs, if they have one, would be hidden.
        theirs = [os.path.join(each, "sitecustomize.py") for each in dependencies]
        theirs = [each for each in theirs if os.path.isfile(each)]
        (site / "sitecustomize.py").write_text(_WATCH.format(folders=watched, theirs=theirs))
        bin_ = folder / "bin"
        bin_.mkdir()
        base = Path(os.path.realpath(sys.executable))
        (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
        (bin_ / "python").symlink_to(base)
        (bin_ / "mlxoss").write_text(_SCRIPT.format(python=bin_ / "python"))
        (bin_ / "mlxoss").chmod(0o755)
        return folder

    def _add_record(self, site: Path, version: str) -> None:
        info = site / f"mlxoss-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mlxoss\nVersion: {version}\n")
        files = [path for path in site.rglob("*") if path.is_file()]
        lines = [f"{path.relative_to(site)},sha256=-,{path.stat().st_size}" for path in files]
        (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,", ""]))

    def switch(self, version: str) -> None:
        """Let ``current`` lead to ``version``."""
        link = self.root / "next"
        link.symlink_to(version)
        link.replace(self.root / "current")
