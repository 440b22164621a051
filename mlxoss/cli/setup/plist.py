"""``mlxoss plist``: the launch agent as installing would write it, on any system."""

from __future__ import annotations

import json
import os
import plistlib
from collections.abc import Mapping
from pathlib import Path

from mlxoss.cli.this_machine import make_spec, this_program
from mlxoss.service.plist import plist_path, read_plist, render_plist
from mlxoss.service.spec import LABEL


def wanted_plist() -> str:
    """Return its text; raises ``ServiceError`` when there is no command to run."""
    return render_plist(make_spec(this_program().path, _kept())).decode()


def to_json(text: str) -> str:
    """Return a property list as JSON: where it belongs, and its keys."""
    keys = plistlib.loads(text.encode())
    found = {"path": str(plist_path(_home(), LABEL)), "keys": keys}
    return json.dumps(found, indent=2) + "\n"


def _home() -> Path:
    return Path(os.environ.get("HOME") or Path.home())


def _kept() -> Mapping[str, str]:
    """The variables of the installed one: installing again keeps them."""
    path = plist_path(_home(), LABEL)
    try:
        found = read_plist(path.read_bytes())
    except OSError:
        return {}
    return found.environment if found and not found.homebrew else {}
