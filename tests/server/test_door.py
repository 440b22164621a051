"""The door as a table: which heads of requests are let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxoss.api.errors import HttpError
from mlxoss.config import Config
from mlxoss.server.door import Door, Knock, Welcome, judge, make_door, to_headers, to_preflight

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
    (LOOPBACK, "0.0.0.0:8000", False),
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
    (EVERYWHERE, "0.0.0.0", False),
    (EVERYWHERE, "10.0.0.7", False),
]


@pytest.mark.parametrize(("config", "host", "is_let_in"), HOSTS)
def test_hosts(config: Config, host: str, is_let_in: bool) -> None:
    verdict = judge(make_door(config), Knock([host], address="127.0.0.1"))
    if is_let_in:
        assert verdict == Welcome()
    else:
        assert isinstance(verdict, HttpError)
        assert (verdict.status, verdict.code) == (403, "host_not_allowed")
        assert "--allow-host" in verdict.message


def test_the_address_that_the_connection_came_in_on_is_a_name_of_ours() -> None:
    door = make_door(EVERYWHERE)
    for host, address, is_let_in in [
        ("10.0.0.7:8000", "10.0.0.7", True),
        ("10.0.0.7", "::ffff:10.0.0.7", True),
        ("[fe80::7]", "fe80::7%eth0", True),
        ("10.0.0.8", "10.0.0.7", False),
        ("10.0.0.7", None, False),
    ]:
        verdict = judge(door, Knock([host], address=address))
        assert isinstance(verdict, Welcome) is is_let_in, host


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
@pytest.mark.parametrize("config", [LOOPBACK, ANY])
def test_there_must_be_one_host(config: Config, hosts: list[str]) -> None:
    verdict = judge(make_door(config), Knock(hosts))
    assert isinstance(verdict, HttpError)
    assert verdict.status == 403


def test_http_1_0_may_leave_the_host_out() -> None:
    door = make_door(LOOPBACK)
    assert judge(door, Knock([], version="1.0")) == Welcome()
    assert isinstance(judge(door, Knock(["evil.example"], version="1.0")), HttpError)
    assert isinstance(judge(door, Knock([], ["http://localhost"], version="1.0")), HttpError)


def test_an_absolute_target_counts_beside_the_host() -> None:
    door = make_door(LOOPBACK)
    assert judge(door, Knock(["localhost"], authority="127.0.0.1:8000")) == Welcome()
    for authority in ("evil.example", "", "localhost@evil.example"):
        assert isinstance(judge(door, Knock(["localhost"], authority=authority)), HttpError)


CLOSED = make_door(LOOPBACK)
OPEN = make_door(Config(allow_origin=("https://app.example", "http://localhost:3000")))
OPEN_TO_ALL = make_door(Config(allow_origin=("*",)))

ORIGINS = [
    (CLOSED, "http", "localhost:8000", "http://localhost:8000", Welcome()),
    (CLOSED, "http", "localhost:8000", "HTTP://LOCALHOST:8000", Welcome()),
    (CLOSED, "http", "localhost:80", "http://localhost", Welcome()),
    (CLOSED, "http", "[::1]:8000", "http://[::1]:8000", Welcome()),
    (CLOSED, "https", "localhost", "https://localhost", Welcome()),
    (CLOSED, "https", "localhost:443", "https://localhost", Welcome()),
    (CLOSED, "http", "localhost:8000", "https://localhost:8000", None),
    (CLOSED, "http", "localhost:8000", "http://localhost:3000", None),
    (CLOSED, "http", "localhost:8000", "http://localhost", None),
    (CLOSED, "http", "localhost:8000", "http://127.0.0.1:8000", None),
    (CLOSED, "http", "localhost:8000", "https://evil.example", None),
    (CLOSED, "http", "localhost:8000", "null", None),
    (CLOSED, "http", "localhost:8000", "", None),
    (CLOSED, "http", "evil.example", "http://evil.example", None),
    (OPEN, "http", "localhost:8000", "https://app.example", Welcome("https://app.example")),
    (OPEN, "http", "localhost:8000", "http://localhost:3000", Welcome("http://localhost:3000")),
    (OPEN, "http", "localhost:8000", "http://app.example", None),
    (OPEN, "http", "localhost:8000", "https://app.example.evil.example", None),
    (OPEN, "http", "localhost:8000", "https://x.app.example", None),
    (OPEN, "http", "localhost:8000", "https://app.example:8443", None),
    (OPEN, "http", "localhost:8000", "null", None),
    (OPEN, "http", "evil.example", "https://app.example", None),
    (OPEN_TO_ALL, "http", "localhost:8000", "https://evil.example", Welcome("*")),
    (OPEN_TO_ALL, "http", "localhost:8000", "null", Welcome("*")),
    (OPEN_TO_ALL, "http", "evil.example", "https://evil.example", None),
]


@pytest.mark.parametrize(("door", "scheme", "host", "origin", "welcome"), ORIGINS)
def test_origins(door: Door, scheme: str, host: str, origin: str, welcome: Welcome | None) -> None:
    verdict = judge(door, Knock([host], [origin], scheme=scheme))
    if welcome is not None:
        assert verdict == welcome
    else:
        assert isinstance(verdict, HttpError)
        assert verdict.status == 403
        assert verdict.code in ("host_not_allowed", "origin_not_allowed")


def test_two_origins_are_refused() -> None:
    for second in ("https://app.example", "https://evil.example"):
        knock = Knock(["localhost"], ["https://app.example", second])
        assert isinstance(judge(OPEN, knock), HttpError)


def test_no_cors_headers_unless_a_setting_asks_for_them() -> None:
    assert to_headers(CLOSED, Welcome()) == {}
    assert to_headers(OPEN, Welcome()) == {"vary": "Origin"}
    allowed = to_headers(OPEN, Welcome("https://app.example"))
    assert allowed["access-control-allow-origin"] == "https://app.example"
    assert allowed["vary"] == "Origin"
    assert to_headers(OPEN_TO_ALL, Welcome("*"))["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in allowed


def test_a_preflight_is_told_no_header_that_is_none() -> None:
    headers = to_preflight("authorization, content-type,x\r\nset-cookie: a", private_network=False)
    assert headers["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-private-network" not in headers


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)


@given(NAMES)
def test_a_name_under_another_is_never_let_in(name: str) -> None:
    for host in (f"{name}.evil.example", f"localhost.{name}.example", f"evil.example#{name}"):
        assert isinstance(judge(CLOSED, Knock([host])), HttpError)
        assert isinstance(judge(CLOSED, Knock(["localhost"], [f"https://{host}"])), HttpError)
