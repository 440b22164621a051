"""Where the settings' values come from. Later sources win: default, file, environment, flag."""

from __future__ import annotations

import contextlib
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss.config.table import ENV_PREFIX, Config, settings
from mlxoss.denied import why
from mlxoss.errors import ConfigError

API_KEY_VARIABLE = "MLXOSS_API_KEY"
"""The key that ``mlxoss chat`` sends; not a setting, since keys stand in no file."""

# Read beside the settings: which file, which folders, which commands of the system.
_OTHER_VARIABLES = frozenset(
    {
        *("MLXOSS_CONFIG", "MLXOSS_HOME", "MLXOSS_LAUNCHCTL", "MLXOSS_CAFFEINATE"),
        API_KEY_VARIABLE,
    }
)
# A stand-in that MLXOSS_LAUNCHCTL names has variables of its own, and they are no settings.
_STAND_IN_PREFIX = "MLXOSS_FAKE_LAUNCHD_"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file. One that was ``asked_for`` by name must exist."""

    path: Path
    asked_for: bool = False


def find_config_file(flag: Path | None, env: Mapping[str, str], usual: Path) -> ConfigFile:
    """The file to read: the flag's, else ``MLXOSS_CONFIG``, else the usual one."""
    named = flag or (Path(env["MLXOSS_CONFIG"]) if env.get("MLXOSS_CONFIG") else None)
    return ConfigFile(named.expanduser(), asked_for=True) if named else ConfigFile(usual)


def load_config(
    flags: Mapping[str, object], env: Mapping[str, str], file: Path | ConfigFile
) -> Config:
    """Merge and validate all sources.

    ``flags`` maps setting names to texts or ready values, ``None`` standing for a
    flag that was not given. An empty environment variable counts as not set; one
    that starts with ``MLXOSS_`` and is unknown is an error, as is an unknown key in
    the file. A relative path in the file counts from the file's folder. Raises
    ``ConfigError`` with the offending ``key`` and ``source``.
    """
    source = file if isinstance(file, ConfigFile) else ConfigFile(file)
    values = _from_file(source)
    values.update(_from_environment(env))
    values.update(_from_flags(flags))
    return Config(**values, given=frozenset(values))


def find_address(env: Mapping[str, str], file: ConfigFile) -> Config:
    """The address and its certificate alone, as far as they can be read: for finding a running
    daemon whose settings have been spoilt since. Everything else is the default. Never raises.
    """
    try:
        table = _read_toml(file)
    except ConfigError:
        table = {}
    values: dict[str, Any] = {}
    for setting in (settings()[name] for name in ("host", "port", "tls_cert")):
        given = env.get(setting.variable)
        with contextlib.suppress(ValueError):
            if given:
                values[setting.name] = setting.kind.read(given)
            elif setting.name in table:
                values[setting.name] = _beside(file, setting.kind.check(table[setting.name]))
    return Config(**values)


def _from_file(file: ConfigFile) -> dict[str, Any]:
    table = _read_toml(file)
    where = str(file.path)
    values: dict[str, Any] = {}
    for key, value in table.items():
        setting = settings().get(key)
        if setting is None:
            hint = did_you_mean(key, settings())
            raise ConfigError(f"{where}: unknown setting {key!r}{hint}.", key=key, source=where)
        try:
            checked = setting.kind.check(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {key} {error}.", key=key, source=where) from None
        values[key] = _beside(file, checked)
    return values


def _beside(file: ConfigFile, value: object) -> object:
    """A relative path counts from the file's folder."""
    return file.path.parent / value if isinstance(value, Path) else value


def _read_toml(file: ConfigFile) -> dict[str, Any]:
    where = str(file.path)
    try:
        with file.path.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        if not file.asked_for:
            return {}
        raise ConfigError(f"The configuration file {where} does not exist.", source=where) from None
    except OSError as error:
        message = f"The configuration file {where} cannot be read: {why(error)}."
        raise ConfigError(message, source=where) from None
    except ValueError as error:  # tomllib's own error, or bytes that are not UTF-8
        raise ConfigError(f"{where} is not valid TOML: {error}.", source=where) from None


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    by_variable = {setting.variable: setting for setting in settings().values()}
    values: dict[str, Any] = {}
    for variable in sorted(env):
        if not _is_setting(variable) or not env[variable]:
            continue
        label = f"The environment variable {variable}"
        setting = by_variable.get(variable)
        if setting is None:
            hint = did_you_mean(variable, [*by_variable, *_OTHER_VARIABLES])
            message = f"{label} is unknown{hint}."
            raise ConfigError(message, key=variable, source="environment")
        try:
            values[setting.name] = setting.kind.read(env[variable])
        except ValueError as error:
            raise ConfigError(f"{label} {error}.", key=variable, source="environment") from None
    return values


def _is_setting(variable: str) -> bool:
    """Whether a variable must name a setting."""
    if variable in _OTHER_VARIABLES or variable.startswith(_STAND_IN_PREFIX):
        return False
    return variable.startswith(ENV_PREFIX)


def _from_flags(flags: Mapping[str, object]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None:
            continue
        setting = settings()[name]
        kind = setting.kind
        try:
            values[name] = kind.read(value) if isinstance(value, str) else kind.check(value)
        except ValueError as error:
            message = f"{setting.flag} {error}."
            raise ConfigError(message, key=setting.flag, source="command line") from None
    return values


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that is most like ``word``, as a remark; empty if none is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
