"""``mlxoss codex``: the settings that make Codex CLI use this server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlxoss.cli.connect.facts import Served
    from mlxoss.cli.connect.settings_file import Edited
    from mlxoss.cli.connect.values import Change, Settings

_NAME = "mlxoss"
_OURS = ("model_providers", _NAME)
_PRINT_KEY = 'echo "${MLXOSS_API_KEY:-none}"'
# Other ways to a key, which Codex refuses to have beside a command.
_OTHER_KEYS = ("env_key", "experimental_bearer_token", "requires_openai_auth", "aws")


def codex(
    write: Annotated[
        bool,
        typer.Option("--write", help="Put them into Codex's config.toml; the old file is kept."),
    ] = False,
) -> None:
    """Print, or write, the settings that Codex CLI needs.

    They belong into ~/.codex/config.toml, or config.toml in CODEX_HOME.
    """
    from mlxoss.cli.connect.facts import find_served
    from mlxoss.cli.connect.toml_format import Toml

    served = find_served()
    if not write:
        typer.echo(next(Toml().propose("", codex_changes(served))), nl=False)
        return
    file = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex") / "config.toml"
    edited = write_settings(file, served)
    if not edited.draft.is_change:
        typer.echo(f"{file} says so already.")
    else:
        old = f"; the old one is {edited.backup}" if edited.backup else ""
        typer.echo(f"Wrote {file}{old}")
    if (warning := _profile_warning(edited.draft.settings)) is not None:
        typer.echo(f"{file}: {warning}", err=True)
    if served.needs_key:
        typer.echo(
            "Codex takes the key from MLXOSS_API_KEY; make one with: mlxoss key create codex"
        )


def write_settings(file: Path, served: Served) -> Edited:
    """Merge the settings into ``file``; what else is there stays, comments too.

    Raises ``ConfigError`` as ``edit_file`` does.
    """
    from mlxoss.cli.connect.settings_file import edit_file
    from mlxoss.cli.connect.toml_format import Toml

    return edit_file(file, Toml(), lambda _: codex_changes(served))


def codex_changes(served: Served) -> list[Change]:
    """What Codex has to be told. Other settings of the provider stay, as ``http_headers``."""
    from mlxoss.cli.connect.values import Drop, Put

    return [
        Put(("model",), served.model),
        Put(("model_provider",), _NAME),
        Put((*_OURS, "name"), _NAME),
        Put((*_OURS, "base_url"), served.base),
        Put((*_OURS, "wire_api"), "responses"),
        # Codex asks /v1/models only of providers whose key comes from a command.
        Put((*_OURS, "auth", "command"), "/bin/sh"),
        Put((*_OURS, "auth", "args"), ["-c", _PRINT_KEY]),
        # Last: from a table that had nothing else its comments would go too.
        *(Drop((*_OURS, key)) for key in _OTHER_KEYS),
    ]


def _profile_warning(settings: Settings) -> str | None:
    """A profile that was chosen in the file goes before what stands outside of it.

    Codex from 0.134 on ends with an error instead (``--profile`` and a file took its place).
    """
    name, profiles = settings.get("profile"), settings.get("profiles")
    if not isinstance(name, str):
        return None
    profile = profiles.get(name) if isinstance(profiles, dict) else None
    keys = [
        key for key in ("model", "model_provider") if isinstance(profile, dict) and key in profile
    ]
    older = f", and older ones take {' and '.join(keys)} from [profiles.{name}]" if keys else ""
    return (
        f"it chooses the profile {name!r}: Codex 0.134 and newer do not start with the line "
        f'profile = "{name}"{older}. Take that line out.'
    )
