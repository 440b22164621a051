"""Variables in ``mcp.json``, as the clients that share its format write them.

Sources: what Claude Code says of ``.mcp.json`` (``${VAR}``, ``${VAR:-default}``), and Cursor and
VS Code of ``mcp.json`` (``${env:VAR}``, ``${userHome}``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.S)


def expand(text: str, env: Mapping[str, str]) -> str:
    """``text`` with its variables' values; those are not looked through again.

    Raises ``ValueError`` with the end of a sentence that begins with the field.
    """
    return _VARIABLE.sub(lambda match: _to_value(match[1], env), text)


def _to_value(named: str, env: Mapping[str, str]) -> str:
    if named == "userHome":
        named = "HOME"
    match = _NAME.fullmatch(named)
    if match is None:
        raise ValueError(f"asks for ${{{named}}}, which a service cannot know")
    value = env.get(match[1]) or match[2]
    if value is None:
        raise ValueError(f"needs the variable {match[1]}, which is not set for the server")
    return value
