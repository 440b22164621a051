"""The access policy as a table: which heads of requests are let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxoss.api.errors import HttpError
from mlxoss.config import Config
from mlxoss.server.access.policy import (
    AccessPolicy,
    Allowed,
    RequestFacts,
    check_access,
    make_policy,
    to_headers,
    to_preflight,
)

LOOPBACK = Config()
NAMED = Config(host="192.168.1.5", allow_host=("llm.example", "fd00::5"))
ANY = Config(host="0.0.0.0", allow_host=("*",))
EVERYWHERE = Config(host="0.0.0.0")

HOSTS = [
    (LOOPBACK, "localhost", True),
    (LOOPBACK, "LocalHost:8000", True),
    (LOOPBACK, "localhost:1", True),
    (LOOPBACK, "localhost:", True),
    (LOOPBACK, "127.0.0.1:8000", True),
    (LOOPBACK, "127.8.8.8", True),
    (LOOPBACK, "[::1]:8000", True),
    (LOOPBACK, "[0:0:0:0:0:0:0:1]", True),
    (LOOPBACK, "[::ffff:127.0.0.1]", True),
    (LOOPBACK, "evil.example", False),
    (LOOPBACK, "evil.example:8000", False),
    (LOOPBACK, "127.0.0.1.evil.example", False),
    (LOOPBACK, "localhost.evil.example", False),
    (LOOPBACK, "evil-localhost", False),
    (LOOPBACK, "a.localhost", False),
    (LOOPBACK, "localhost.", False),
    (LOOPBACK, "evil@localhost", False),
    (LOOPBACK, "localhost@evil.example", False),
    (LOOPBACK, "localhost:8000:1", False),
    (LOOPBACK, "localhost:x", False),
    (LOOPBACK, "localhost, evil.example", False),
    (LOOPBACK, "localhost/x", False),
    (LOOPBACK, "l\u00f6calhost", False),
    (LOOPBACK, "::1", False),
    (LOOPBACK, "127.1", False),
    (LOOPBACK, "2130706433", False),
    (LOOPBACK, "0x7f.1", False),
    (LOOPBACK, "0177.0.0.1", False),
    (LOOPBACK, "0.0.0.0:8000", True),
    (LOOPBACK, "0.0.0.0", True),
    (LOOPBACK, "[::]:8000", True),
    (LOOPBACK, "[0::0]", True),
    (LOOPBACK, "[::ffff:0.0.0.0]", True),
    (LOOPBACK, "0.0.0.1", False),
    (LOOPBACK, "0", False),
    (LOOPBACK, "0.0.0.0.evil.example", False),
    (LOOPBACK, "0.0.0.0@evil.example", False),
    (LOOPBACK, "::", False),
    (LOOPBACK, "192.168.1.5", False),
    (LOOPBACK, "", False),
    (LOOPBACK, "*", False),
    (NAMED, "192.168.1.5:8000", True),
    (NAMED, "LLM.example", True),
    (NAMED, "llm.example:443", True),
    (NAMED, "[fd00::5]", True),
    (NAMED, "[fd00:0::5]:80", True),
    (NAMED, "localhost", True),
    (NAMED, "x.llm.example", False),
    (NAMED, "example", False),
    (NAMED, "192.168.1.6", False),
    (ANY, "evil.example:8000", True),
    (ANY, "a b", False),
    (EVERYWHERE, "evil.example", False),
    (EVERYWHERE, "0.0.0.0", True),
    (EVERYWHERE, "10.0.0.7", False),
]


@pytest.mark.parametrize(("config", "host", "is_let_in"), HOSTS)
def test_hosts(config: Config, host: str, is_let_in: bool) -> None:
    verdict = check_access(make_policy(config), RequestFacts([host], address="127.0.0.1"))
    if is_let_in:
        assert verdict == Allowed()
    else:
        assert isinstance(verdict, HttpError)
        assert (verdict.status, verdict.code) == (403, "host_not_allowed")
        assert "--allow-host" in verdict.message


def test_the_address_that_the_connection_came_in_on_is_a_name_of_ours() -> None:
    policy = make_policy(EVERYWHERE)
    for host, address, is_let_in in [
        ("10.0.0.7:8000", "10.0.0.7", True),
        ("10.0.0.7", "::ffff:10.0.0.7", True),
        ("[fe80::7]", "fe80::7%eth0", True),
        ("10.0.0.8", "10.0.0.7", False),
        ("10.0.0.7", None, False),
        ("0.0.0.0:8000", "10.0.0.7", False),
        ("0.0.0.0:8000", None, False),
        ("0.0.0.0:8000", "::ffff:127.0.0.1", True),
        ("[::]:8000", "::1", True),
    ]:
        verdict = check_access(policy, RequestFacts([host], address=address))
        assert isinstance(verdict, Allowed) is is_let_in, host


@pytest.mark.parametrize("host", ["0.0.0.0:8000", "[::]:8000"])
def test_the_unspecified_address_is_no_page_s_own_origin(host: str) -> None:
    for origin in (f"http://{host}", "http://evil.example", "null", "http://localhost:8000"):
        facts = RequestFacts([host], [origin], address="127.0.0.1")
        verdict = check_access(make_policy(LOOPBACK), facts)
        assert isinstance(verdict, HttpError)
        assert verdict.code == "origin_not_allowed"
        named = make_policy(Config(allow_origin=(origin,)))
        assert check_access(named, facts) == Allowed(origin)


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
@pytest.mark.parametrize("config", [LOOPBACK, ANY])
def test_there_must_be_one_host(config: Config, hosts: list[str]) -> None:
    verdict = check_access(make_policy(config), RequestFacts(hosts))
    assert isinstance(verdict, HttpError)
    assert verdict.status == 403


def test_http_1_0_may_leave_the_host_out() -> None:
    policy = make_policy(LOOPBACK)
    assert check_access(policy, RequestFacts([], version="1.0")) == Allowed()
    assert isinstance(
        check_access(policy, RequestFacts(["evil.example"], version="1.0")), HttpError
    )
    assert isinstance(
        check_access(policy, RequestFacts([], ["http://localhost"], version="1.0")), HttpError
    )


def test_an_absolute_target_counts_beside_the_host() -> None:
    policy = make_policy(LOOPBACK)
    assert (
        check_access(policy, RequestFacts(["localhost"], authority="127.0.0.1:8000")) == Allowed()
    )
    for authority in ("evil.example", "", "localhost@evil.example"):
        assert isinstance(
            check_access(policy, RequestFacts(["localhost"], authority=authority)), HttpError
        )


CLOSED = make_policy(LOOPBACK)
OPEN = make_policy(Config(allow_origin=("https://app.example", "http://localhost:3000")))
OPEN_TO_ALL = make_policy(Config(allow_origin=("*",)))

ORIGINS = [
    (CLOSED, "http", "localhost:8000", "http://localhost:8000", Allowed()),
    (CLOSED, "http", "localhost:8000", "HTTP://LOCALHOST:8000", Allowed()),
    (CLOSED, "http", "localhost:80", "http://localhost", Allowed()),
    (CLOSED, "http", "[::1]:8000", "http://[::1]:8000", Allowed()),
    (CLOSED, "https", "localhost", "https://localhost", Allowed()),
    (CLOSED, "https", "localhost:443", "https://localhost", Allowed()),
    (CLOSED, "http", "localhost:8000", "https://localhost:8000", None),
    (CLOSED, "http", "localhost:8000", "http://localhost:3000", None),
    (CLOSED, "http", "localhost:8000", "http://localhost", None),
    (CLOSED, "http", "localhost:8000", "http://127.0.0.1:8000", None),
    (CLOSED, "http", "localhost:8000", "https://evil.example", None),
    (CLOSED, "http", "localhost:8000", "null", None),
    (CLOSED, "http", "localhost:8000", "", None),
    (CLOSED, "http", "evil.example", "http://evil.example", None),
    (OPEN, "http", "localhost:8000", "https://app.example", Allowed("https://app.example")),
    (OPEN, "http", "localhost:8000", "http://localhost:3000", Allowed("http://localhost:3000")),
    (OPEN, "http", "localhost:8000", "http://app.example", None),
    (OPEN, "http", "localhost:8000", "https://app.example.evil.example", None),
    (OPEN, "http", "localhost:8000", "https://x.app.example", None),
    (OPEN, "http", "localhost:8000", "https://app.example:8443", None),
    (OPEN, "http", "localhost:8000", "null", None),
    (OPEN, "http", "evil.example", "https://app.example", None),
    (OPEN_TO_ALL, "http", "localhost:8000", "https://evil.example", Allowed("*")),
    (OPEN_TO_ALL, "http", "localhost:8000", "null", Allowed("*")),
    (OPEN_TO_ALL, "http", "evil.example", "https://evil.example", None),
]


@pytest.mark.parametrize(("policy", "scheme", "host", "origin", "allowed"), ORIGINS)
def test_origins(
    policy: AccessPolicy, scheme: str, host: str, origin: str, allowed: Allowed | None
) -> None:
    verdict = check_access(policy, RequestFacts([host], [origin], scheme=scheme))
    if allowed is not None:
        assert verdict == allowed
    else:
        assert isinstance(verdict, HttpError)
        assert verdict.status == 403
        assert verdict.code in ("host_not_allowed", "origin_not_allowed")


def test_two_origins_are_refused() -> None:
    for second in ("https://app.example", "https://evil.example"):
        facts = RequestFacts(["localhost"], ["https://app.example", second])
        assert isinstance(check_access(OPEN, facts), HttpError)


def test_no_cors_headers_unless_a_setting_asks_for_them() -> None:
    assert to_headers(CLOSED, Allowed()) == {}
    assert to_headers(OPEN, Allowed()) == {"vary": "Origin"}
    allowed = to_headers(OPEN, Allowed("https://app.example"))
    assert allowed["access-control-allow-origin"] == "https://app.example"
    assert allowed["vary"] == "Origin"
    assert to_headers(OPEN_TO_ALL, Allowed("*"))["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in allowed


def test_a_preflight_is_told_no_header_that_is_none() -> None:
    headers = to_preflight("authorization, content-type,x\r\nset-cookie: a", private_network=False)
    assert headers["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-private-network" not in headers


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)


@given(NAMES)
def test_a_name_under_another_is_never_let_in(name: str) -> None:
    for host in (f"{name}.evil.example", f"localhost.{name}.example", f"evil.example#{name}"):
        assert isinstance(check_access(CLOSED, RequestFacts([host])), HttpError)
        assert isinstance(
            check_access(CLOSED, RequestFacts(["localhost"], [f"https://{host}"])), HttpError
        )
