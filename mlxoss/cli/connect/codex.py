"""``mlxoss codex``: the settings that make Codex CLI use this server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlxoss.cli.connect.values import Settings


def codex(
    write: Annotated[
        bool,
        typer.Option("--write", help="Put them into Codex's config.toml; the old file is kept."),
    ] = False,
) -> None:
    """Print, or write, the settings that Codex CLI needs.

    They belong into ~/.codex/config.toml, or config.toml in CODEX_HOME.
    """
    from mlxoss.cli.connect.clients.codex import CODEX
    from mlxoss.cli.connect.connections import places_of, state_folder, tell_written
    from mlxoss.cli.connect.facts import find_served
    from mlxoss.cli.connect.undo import write_part

    served = find_served()
    (place,) = places_of(CODEX, served)
    part = place.part
    if not write:
        typer.echo(next(part.form.propose("", part.wanted({}))), nl=False)
        return
    edited = write_part(part, state_folder())
    tell_written(edited)
    tell_of_profile(edited.draft.file, edited.draft.settings)
    if served.needs_key:
        typer.echo(
            "Codex takes the key from MLXOSS_API_KEY; make one with: mlxoss key create codex"
        )


def tell_of_profile(file: object, settings: Settings) -> None:
    """Say so where ``settings`` choose a profile.

    One that was chosen in the file goes before what stands outside of it. Codex from 0.134 on ends
    with an error instead (``--profile`` and a file took its place).
    """
    name, profiles = settings.get("profile"), settings.get("profiles")
    if not isinstance(name, str):
        return
    profile = profiles.get(name) if isinstance(profiles, dict) else None
    keys = [
        key for key in ("model", "model_provider") if isinstance(profile, dict) and key in profile
    ]
    older = f", and older ones take {' and '.join(keys)} from [profiles.{name}]" if keys else ""
    typer.echo(
        f"{file}: it chooses the profile {name!r}: Codex 0.134 and newer do not start with the "
        f'line profile = "{name}"{older}. Take that line out.',
        err=True,
    )
