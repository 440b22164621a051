"""``mlxoss connect`` without a name: which clients are here, and how they stand to this server."""

from __future__ import annotations

import functools
import http.client
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlxoss.addresses import LOOPBACK, LOOPBACK_ADDRESSES
from mlxoss.cli.client.http import connect
from mlxoss.cli.connect.clients.by_hand import BY_HAND
from mlxoss.cli.connect.clients.client import Account, Client, SettingsPlace
from mlxoss.cli.connect.clients.table import CLIENTS
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.recipes import RECIPES
from mlxoss.cli.connect.settings_file import draft_edit
from mlxoss.cli.connect.values import look
from mlxoss.errors import ConfigError

_PATIENCE_S = 10.0
_VARIABLE = re.compile(
    r"\$(?P<plain>\w+)|\$\{(?P<braced>\w+)\}|\{env:(?P<env>\w+)\}"
    r"|\$\{\{ *secrets\.(?P<secret>\w+) *\}\}"
)


def listed(account: Account, served: Served) -> Iterator[str]:
    """A line for each client: its name, what it is, and what there is of it on this machine."""
    width = max(map(len, RECIPES))
    about = max(len(recipe.about) for recipe in RECIPES.values())
    asked = functools.cache(functools.partial(_ask, served))
    for name, recipe in RECIPES.items():
        states = [*_states(name, account, served, asked)]
        yield f"{name:{width}}  {recipe.about:{about}}  {', '.join(states)}".rstrip()


def is_installed(client: Client, account: Account) -> bool:
    """Whether one of its programs is on the PATH, or one of its applications there."""
    path = account.env.get("PATH")
    return any(shutil.which(each, path=path) for each in client.programs) or _has_app(
        client.apps, account
    )


def _states(name: str, account: Account, served: Served, asked: Any) -> Iterator[str]:
    if name in BY_HAND:
        _, apps, _ = BY_HAND[name]
        if _has_app(apps, account):
            yield "installed"
        return
    client = CLIENTS.get(name)
    if client is None:
        return
    if is_installed(client, account):
        yield "installed"
    for place in client.places(account, served) if client.places else ():
        if place.url:
            yield from _connection(place, served, account.env, asked)


def _connection(
    place: SettingsPlace, served: Served, env: Mapping[str, str], asked: Any
) -> Iterator[str]:
    part = place.part
    try:
        settings = draft_edit(part.file, part.form, lambda _: ()).settings
    except ConfigError:
        yield f"{part.file} cannot be read"
        return
    url = look(settings, place.url)
    if not isinstance(url, str):
        return
    if not _is_of(url, served):
        yield f"connected to {url}, which is not this server"
        return
    yield f"connected to {served.base}"
    if served.needs_key and place.key != ():
        yield _key_state(_key(settings, place, env), asked)


def _key(settings: Any, place: SettingsPlace, env: Mapping[str, str]) -> str | None:
    """The key that the client sends, ``None`` where it stands in a variable that is not set."""
    if isinstance(place.key, str):
        return env.get(place.key) or None
    found = look(settings, place.key)
    if not isinstance(found, str):
        return None
    variable = _VARIABLE.fullmatch(found)
    return found if variable is None else env.get(variable[variable.lastgroup or 0]) or None


def _key_state(key: str | None, asked: Any) -> str:
    return "its key is not set in this shell" if key is None else str(asked(key))


def _ask(served: Served, key: str) -> str:
    """What the server says to a key, which no other server is told."""
    target = urlsplit(served.url)
    try:
        with closing(connect(target, served.certificate, _PATIENCE_S)) as connection:
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ConfigError):
        return "the server does not answer"
    return {200: "its key holds", 401: "its key is refused"}.get(status, f"HTTP {status}")


def _is_of(url: str, served: Served) -> bool:
    try:
        return _origin(url) == _origin(served.url)
    except ValueError:  # what is no address
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; all names of this machine for itself are one."""
    parts = urlsplit(url)
    host = LOOPBACK if parts.hostname in LOOPBACK_ADDRESSES else parts.hostname
    return parts.scheme, host, parts.port


def _has_app(apps: Sequence[str], account: Account) -> bool:
    if account.platform != "darwin":
        return False
    folders = (Path("/Applications"), account.home / "Applications")
    return any((folder / f"{app}.app").exists() for folder in folders for app in apps)
