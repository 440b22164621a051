"""The daemon's settings.

``Config`` (``mlxoss.config.table``) is the one table: the keys of the configuration
file, the environment variables (``MLXOSS_PORT``) and the flags (``--port``) all derive
from its fields, so a new setting is one new field. ``mlxoss.config.kinds`` says what values
a setting may have, ``mlxoss.config.load`` where they come from.
"""

from mlxoss.config.load import (
    API_KEY_VARIABLE,
    ConfigFile,
    did_you_mean,
    find_address,
    find_config_file,
    load_config,
)
from mlxoss.config.table import ENV_PREFIX, Config, Setting, settings

__all__ = [
    "API_KEY_VARIABLE",
    "ENV_PREFIX",
    "Config",
    "ConfigFile",
    "Setting",
    "did_you_mean",
    "find_address",
    "find_config_file",
    "load_config",
    "settings",
]
