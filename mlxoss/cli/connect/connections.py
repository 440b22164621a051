"""Connects clients to this server by their files of settings, and takes it back."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from mlxoss import paths
from mlxoss.cli.connect.clients.client import Client, SettingsPlace
from mlxoss.cli.connect.clients.table import CLIENTS
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.recipes import this_account
from mlxoss.cli.connect.settings_file import Draft, Edited, check_writable, draft_edit
from mlxoss.cli.connect.undo import remove_part, write_part
from mlxoss.cli.this_machine import command_env
from mlxoss.config import API_KEY_VARIABLE
from mlxoss.errors import ConfigError


def client_with_files(name: str) -> Client:
    """The client of that name. Raises ``ConfigError`` for one that no file is written for."""
    client = CLIENTS.get(name)
    if client is None or client.places is None:
        names = ", ".join(each for each, found in CLIENTS.items() if found.places)
        raise ConfigError(f"No file is written for {name!r}, but for: {names}.")
    return client


def write(name: str, served: Served) -> None:
    """Write a client's files, each merged with what it holds.

    All are worked out before the first is written. Raises ``ConfigError``.
    """
    client = client_with_files(name)
    if client.has_key and served.needs_key and not served.secret:
        raise ConfigError(
            f"{client.about} keeps the key in its file. First: "
            f"export {API_KEY_VARIABLE}=$(mlxoss key create {name})"
        )
    places = places_of(client, served)
    for place in places:
        check_writable(draft_edit(place.part.file, place.part.form, place.part.wanted))
    for place in places:
        tell_written(write_part(place.part, state_folder()))
    if client.note:
        typer.echo(client.note.replace("@MODEL@", served.model))
    if served.needs_key and not client.has_key and not served.secret:
        typer.echo(f"The key is taken from {API_KEY_VARIABLE}: mlxoss key create {name}")


def remove(name: str, served: Served) -> None:
    """Take what is ours out of a client's files, of which the first written is the last.

    The folders were made for that one. Raises ``ConfigError``.
    """
    places = places_of(client_with_files(name), served)[::-1]
    drafts = [remove_part(place.part, state_folder(), is_dry=True).draft for place in places]
    for draft in drafts:
        check_writable(draft)
    if not any(draft.is_change for draft in drafts if draft.old is not None):
        typer.echo(f"{name} is not connected.")
    for place in places:
        removal = remove_part(place.part, state_folder())
        if removal.is_gone:
            typer.echo(f"Removed {place.part.file}")
        elif removal.draft.old is not None and removal.draft.is_change:
            typer.echo(f"Took it out of {place.part.file}")


def show(name: str, served: Served, *, is_removal: bool) -> None:
    """Print what ``write`` or ``remove`` would change, as a difference of lines."""
    for place in places_of(client_with_files(name), served):
        part = place.part
        if is_removal:
            removal = remove_part(part, state_folder(), is_dry=True)
            typer.echo("".join(_difference(removal.draft, is_gone=removal.is_gone)), nl=False)
        else:
            draft = draft_edit(part.file, part.form, part.wanted)
            typer.echo("".join(_difference(draft, is_gone=False)), nl=False)


def places_of(client: Client, served: Served) -> Sequence[SettingsPlace]:
    """Our parts of the files of a client that has some."""
    assert client.places is not None
    return client.places(this_account(), served)


def state_folder() -> Path:
    """Where records are kept."""
    return paths.data_dir(command_env())


def tell_written(edited: Edited) -> None:
    """Say what became of a file."""
    file = edited.draft.file
    if not edited.draft.is_change:
        typer.echo(f"{file} says so already.")
        return
    old = f"; the old one is {edited.backup}" if edited.backup else ""
    typer.echo(f"Wrote {file}{old}")


def _difference(draft: Draft, *, is_gone: bool) -> Iterator[str]:
    old, new = ((text or b"").decode().splitlines(keepends=True) for text in (draft.old, draft.new))
    before = "/dev/null" if draft.old is None else str(draft.file)
    after = "/dev/null" if is_gone else str(draft.file)
    for line in difflib.unified_diff(old, new, before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
