"""``mlxoss codex``: the settings that make Codex CLI use this server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlxoss.errors import ConfigError

if TYPE_CHECKING:
    from mlxoss.cli.connect.facts import Served

_NAME = "mlxoss"
_PRINT_KEY = 'echo "${MLXOSS_API_KEY:-none}"'


def codex(
    write: Annotated[
        bool,
        typer.Option("--write", help="Put them into Codex's config.toml; the old file is kept."),
    ] = False,
) -> None:
    """Print, or write, the settings that Codex CLI needs.

    They belong into ~/.codex/config.toml, or config.toml in CODEX_HOME.
    """
    import tomlkit

    from mlxoss.cli.connect.facts import find_served

    served = find_served()
    if not write:
        typer.echo(tomlkit.dumps(_merge(tomlkit.document(), served)), nl=False)
        return
    file = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex") / "config.toml"
    is_new = not file.exists()
    backup = write_settings(file, served)
    if is_new:
        typer.echo(f"Wrote {file}")
    else:
        typer.echo(
            f"Wrote {file}; the old one is {backup}" if backup else f"{file} says so already."
        )
    if served.needs_key:
        typer.echo(
            "Codex takes the key from MLXOSS_API_KEY; make one with: mlxoss key create codex"
        )


def write_settings(file: Path, served: Served) -> Path | None:
    """Merge the settings into ``file``; what else is there stays, comments too.

    Returns where the old file was copied to, ``None`` if there was none or nothing changes.
    Raises ``ConfigError`` for a file that is no TOML or cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from mlxoss.files import write_if_changed

    try:
        old = file.read_bytes() if file.exists() else None
        new = tomlkit.dumps(_merge(tomlkit.parse(old or b""), served)).encode()
        if new == old:
            return None
        backup = None if old is None else _free_name(file)
        if backup is not None:
            write_if_changed(backup, old or b"", mode=0o600)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_if_changed(file.resolve(), new, mode=0o600)
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML ({error}); mend it first.") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from None
    return backup


def _free_name(file: Path) -> Path:
    """A name beside ``file`` that is free: earlier copies stay."""
    number = 1
    while (name := file.with_name(f"{file.name}.before-mlxoss-{number}")).exists():
        number += 1
    return name


def _merge(document: Any, served: Served) -> Any:
    import tomlkit

    document["model"] = served.model
    document["model_provider"] = _NAME
    if "model_providers" not in document:
        document["model_providers"] = tomlkit.table(is_super_table=True)
    providers = document["model_providers"]
    if not isinstance(providers, dict):
        raise ConfigError("Codex's model_providers is not a table; mend it first.")
    provider = providers.get(_NAME)
    if not isinstance(provider, dict):
        providers[_NAME] = provider = tomlkit.table()
    provider["name"] = _NAME
    provider["base_url"] = served.base
    provider["wire_api"] = "responses"
    # Codex asks /v1/models only of providers whose key comes from a command, and refuses
    # to have env_key beside one.
    provider.pop("env_key", None)
    auth = tomlkit.table()
    auth["command"] = "/bin/sh"
    auth["args"] = ["-c", _PRINT_KEY]
    provider["auth"] = auth
    return document
