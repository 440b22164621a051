"""Who may talk to the server, as far as a request's head tells. Pure.

Any web page that the owner of this machine opens can send requests to it. Two headers
that a page cannot forge tell them apart:

- ``Host`` is the name that the client looked up. In a DNS rebinding attack it is the
  attacker's, pointed at this machine afterwards; an address cannot be pointed elsewhere.
- ``Origin`` is the page. Browsers send it with everything that can change something and
  with every WebSocket (Fetch Standard, "Origin header"); other clients send none.

Sources: GHSA-5jx5-hqx5-2vrj (rebinding of a model server); Fetch Standard, "CORS
protocol"; RFC 9110 section 7.2 and RFC 9112 section 3.2 (Host).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mlxoss.addresses import to_address
from mlxoss.api.errors import HttpError
from mlxoss.config import Config

WILDCARDS = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 (bound nowhere)
"""Bind addresses that are no name of anything."""

_USUAL_PORTS = {"http": "80", "https": "443"}
_SHOWN_CHARS = 100
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_METHODS = "GET, POST, DELETE, HEAD, OPTIONS"
_EXPOSED = "x-request-id, request-id, openai-processing-ms, retry-after"
_PREFLIGHT_AGE_S = 600


class AccessPolicy(NamedTuple):
    """The names and origins that are let in, as the settings' kinds return them."""

    hosts: frozenset[str]
    origins: frozenset[str]


class RequestFacts(NamedTuple):
    """A request's head as far as it matters here.

    ``hosts`` and ``origins`` are all values of these headers. ``authority`` is the one in a
    request line of absolute form, which replaces Host. ``address`` is this machine's own
    address that the connection came in on (``None`` if it is not known), ``scheme`` how.
    ``is_unix``: on a unix socket.
    """

    hosts: Sequence[str]
    origins: Sequence[str] = ()
    authority: str | None = None
    address: str | None = None
    scheme: str = "http"
    version: str = "1.1"
    is_unix: bool = False


class Allowed(NamedTuple):
    """Let in. ``origin`` is the value for Access-Control-Allow-Origin: a page on another origin."""

    origin: str | None = None


def make_policy(config: Config) -> AccessPolicy:
    """The policy that ``config`` describes.

    The bind host is let in by that name unless it is a wildcard.
    """
    own = () if config.host in WILDCARDS else (_bare(config.host.lower()),)
    return AccessPolicy(frozenset((*config.allow_host, *own)), frozenset(config.allow_origin))


def check_access(policy: AccessPolicy, facts: RequestFacts) -> Allowed | HttpError:
    """Let a request in, or say (403) why not and which setting lets it in.

    Host must be there once (HTTP/1.0 may leave it out). Let in are, with any port:
    ``localhost``, the loopback addresses, the names of the policy, and the very address that
    the connection came in on, which is what makes a wildcard bind usable by address and
    by no other name. ``*.localhost`` is not let in: not every resolver keeps it local.

    ``0.0.0.0`` and ``[::]`` are this machine to whoever connects to them (Xcode does), so on a
    connection by the loopback they are let in. They make no Origin the server's own: foreign
    pages reach for this machine that way.

    Over a unix socket any Host is let in: no web page reaches one, and clients name it as they
    like. But it makes no Origin the server's own unless it is one of the names above, for a
    proxy may well hand on what a browser sent.

    An Origin that is the server's own (scheme, host and port those of the request) or one
    of the policy's is let in; any other is refused, ``null`` too unless all are let in.
    """
    host, refusal = _check_host(policy, facts)
    if refusal is not None or not facts.origins:
        return refusal or Allowed()
    origin = facts.origins[0].lower() if len(facts.origins) == 1 else None
    if "*" in policy.origins:
        return Allowed("*")
    if origin is not None and origin in policy.origins:
        return Allowed(facts.origins[0])
    if origin is not None and host is not None and _same_origin(origin, facts.scheme, host):
        return Allowed()
    shown = _shown(", ".join(facts.origins))
    return HttpError(
        403,
        f"Requests from web pages of the origin {shown} are not allowed. The server's setting "
        "allow_origin (--allow-origin) lets an origin in.",
        code="origin_not_allowed",
    )


def to_headers(policy: AccessPolicy, allowed: Allowed) -> dict[str, str]:
    """The CORS headers of an answer; none at all unless the settings let an origin in."""
    if not policy.origins:
        return {}
    headers = {} if "*" in policy.origins else {"vary": "Origin"}
    if allowed.origin is not None:
        headers["access-control-allow-origin"] = allowed.origin
        headers["access-control-expose-headers"] = _EXPOSED
    return headers


def to_preflight(wanted_headers: str, *, private_network: bool) -> dict[str, str]:
    """The further headers of the answer to a preflight (Fetch Standard; WICG Private Network
    Access), which asks whether ``wanted_headers``, comma separated, may be sent.
    """
    names = [name.strip() for name in wanted_headers.split(",")]
    headers = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": ", ".join(filter(_TOKEN.fullmatch, names)),
        "access-control-max-age": str(_PREFLIGHT_AGE_S),
        "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
        "Access-Control-Request-Private-Network",
    }
    if private_network:
        headers["access-control-allow-private-network"] = "true"
    return headers


def _check_host(policy: AccessPolicy, facts: RequestFacts) -> tuple[str | None, HttpError | None]:
    """The one Host of the request if it is a name of ours, or what is wrong with it."""
    if not facts.hosts and facts.version == "1.0":
        return None, None
    if len(facts.hosts) != 1:
        how_many = "no Host header" if not facts.hosts else "more than one Host header"
        return None, HttpError(403, f"The request has {how_many}.", code="host_not_allowed")
    host = facts.hosts[0].lower()
    own: str | None = host
    for authority in (host, facts.authority):
        if authority is None or _is_allowed(policy, authority.lower(), facts.address):
            continue
        if facts.is_unix or _is_this_machine(authority.lower(), facts.address):
            own = None
            continue
        return None, HttpError(
            403,
            f"The host {_shown(authority)} is not one of this server's names. The server's "
            "setting allow_host (--allow-host) lets a name in.",
            code="host_not_allowed",
        )
    return own, None


def _is_allowed(policy: AccessPolicy, authority: str, address: str | None) -> bool:
    name = _name_of(authority)
    if name is None:
        return False
    if "*" in policy.hosts or name in policy.hosts or name == "localhost":
        return True
    try:
        literal = to_address(name)
    except ValueError:
        return False
    return literal.is_loopback or (address is not None and literal == to_address(address))


def _is_this_machine(authority: str, address: str | None) -> bool:
    """Whether it is the unspecified address, on a connection that came in on the loopback."""
    if address is None or not to_address(address).is_loopback:
        return False
    try:
        return to_address(_name_of(authority) or "").is_unspecified
    except ValueError:
        return False


def _name_of(authority: str) -> str | None:
    """Its host, without the port; ``None`` for what is none."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{0,5})?", authority)
    return None if match is None else _bare(match[1])


def _bare(name: str) -> str:
    """An address without its brackets, in its one spelling; a name as it is."""
    if not name.startswith("[") and ":" not in name:
        return name
    try:
        return str(to_address(name.strip("[]")))
    except ValueError:
        return name


def _same_origin(origin: str, scheme: str, host: str) -> bool:
    port = ":" + _USUAL_PORTS[scheme]
    return origin == f"{scheme}://{host.removesuffix(port)}"


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN_CHARS])
