"""Changes the configuration file as its owner would: comments and order stay."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import tomlkit
from tomlkit.exceptions import TOMLKitError

from mlxoss.config import Setting, did_you_mean, settings
from mlxoss.errors import ConfigError
from mlxoss.files import write_if_changed

CONFIG_MODE = 0o600


def find_setting(name: str) -> Setting:
    """Return the setting of that key (``max_batch``, or as its flag spells it).

    Raises ``ConfigError`` for a name that is none.
    """
    key = name.removeprefix("--").replace("-", "_")
    try:
        return settings()[key]
    except KeyError:
        hint = did_you_mean(key, settings())
        message = f"There is no setting {name!r}{hint}; list them with: mlxoss config list"
        raise ConfigError(message, key=name, source="command line") from None


def edit_config(text: str, changes: Mapping[str, object | None]) -> str:
    """Return ``text`` with these keys changed; ``None`` takes a key away.

    Values are as ``Setting.kind`` returns them. Raises ``ConfigError`` if ``text`` is not TOML.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(f"The configuration file is not valid TOML: {error}.") from None
    for key, value in changes.items():
        if value is None:
            document.pop(key, None)
        elif document.get(key) != _plain(value):
            document[key] = _plain(value)
    return tomlkit.dumps(document)


def change_config_file(path: Path, changes: Mapping[str, object | None]) -> bool:
    """Make these changes in the file ``path`` (made if missing, 0600); whether any was needed.

    The file is replaced whole. Raises ``ConfigError`` when it cannot be read or written.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        edited = edit_config(text, changes)
        if edited == text:
            return False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return write_if_changed(path.resolve(), edited.encode(), mode=CONFIG_MODE)
    except (OSError, UnicodeError) as error:
        message = f"The configuration file {path} cannot be changed: {error}."
        raise ConfigError(message, source=str(path)) from None


_Plain: TypeAlias = "str | int | bool | datetime.date | list[_Plain]"


def _plain(value: object) -> _Plain:
    """The value as TOML has it. A path is made absolute: in the file it would count from there."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value.absolute())
    assert isinstance(value, str | int | datetime.date)
    return value
