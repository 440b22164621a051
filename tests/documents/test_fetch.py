"""Files by their address: public ones alone, however an address hides where it leads."""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mlxoss.addresses import is_public
from mlxoss.documents import fetch
from mlxoss.documents.fetch import Fetching
from mlxoss.errors import FileUnreadable
from tests.support.certificates import make_pair
from tests.support.internet import PUBLIC, Internet, give, lead_to
from tests.support.waiting import HANG_S

NAME = "files.example"


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    internet = Internet()
    internet.install(monkeypatch)
    return internet


def refused(url: str) -> str:
    with pytest.raises(FileUnreadable) as caught:
        Fetching(url).fetch()
    return caught.value.reason


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("2001:db8::1", "3fff::1", "192.0.0.192", "64:ff9b::c000:c0", "168.63.129.16"),
        "192.88.99.1",
    ],
)
def test_addresses_that_are_not(address: str) -> None:
    assert not is_public(address)


def test_a_file_is_fetched(internet: Internet) -> None:
    with internet.site(NAME, give(b"words", "text/plain; charset=utf-8")) as seen:
        found = Fetching(f"http://{NAME}/a b.txt?x=1#part").fetch()
    assert (found.data, found.media_type) == (b"words", "text/plain; charset=utf-8")
    (request,) = seen
    assert request.path == "/a%20b.txt?x=1"
    assert request.headers["host"] == NAME
    assert "cookie" not in request.headers
    assert "authorization" not in request.headers
    assert internet.asked == [NAME]
    assert internet.reached == [(PUBLIC, 80)]


def test_by_https_the_certificate_has_to_be_right(
    internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_pair(tmp_path, NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with internet.site(NAME, give(b"words"), tls=context):
        assert "SSLCertVerificationError" in refused(f"https://{NAME}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        assert Fetching(f"https://{NAME}/").fetch().data == b"words"
        internet.names["other.example"] = [PUBLIC]
        assert "SSLCertVerificationError" in refused("https://other.example/")


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://localhost:8000/", "http://[::1]/", "http://2130706433/"),
        *("http://0x7f.1/", "http://169.254.169.254/latest/", "http://[::ffff:10.0.0.1]/"),
        "http://[fe80::1%25lo]/",
    ],
)
def test_this_machine_and_its_network_are_not_asked(url: str, internet: Internet) -> None:
    assert "not public" in refused(url) or "nothing is known" in refused(url)
    assert internet.reached == []


@pytest.mark.parametrize("addresses", [["10.0.0.7"], [PUBLIC, "127.0.0.1"], ["::1", PUBLIC]])
def test_a_name_that_leads_there(addresses: list[str], internet: Internet) -> None:
    with internet.site(NAME, give(b"words")) as seen:
        internet.names[NAME] = addresses
        assert "not public" in refused(f"http://{NAME}/")
    assert seen == []


def test_a_name_is_looked_up_once_for_a_connection(internet: Internet) -> None:
    """One that answers otherwise the second time (DNS rebinding) gains nothing."""

    class Rebinding(list[str]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            addresses = [PUBLIC] if len(internet.asked) == 1 else ["127.0.0.1"]
            return iter(addresses)

    with internet.site(NAME, give(b"words")):
        internet.names[NAME] = Rebinding()
        assert Fetching(f"http://{NAME}/").fetch().data == b"words"
        assert internet.asked == [NAME]


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1/", "http://inner.example/", "file:///etc/passwd", "gopher://a/", "//[::1]/"],
)
def test_a_redirect_is_checked_too(place: str, internet: Internet) -> None:
    internet.names["inner.example"] = ["192.168.0.1"]
    with internet.site(NAME, lead_to(place)) as seen:
        assert refused(f"http://{NAME}/")
        assert len(seen) == 1
    assert internet.reached == [(PUBLIC, 80)]


def test_of_several_addresses_one_that_answers_is_taken(internet: Internet) -> None:
    """Many a name has an IPv6 address, where many a server does not listen."""
    first = "2606:2800:220:1:248:1893:25c8:1946"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        internet.ports[first, 80] = closed.getsockname()[1]
    with internet.site(NAME, give(b"words")):
        internet.names[NAME] = [first, PUBLIC]
        assert Fetching(f"http://{NAME}/").fetch().data == b"words"
    assert internet.asked == [NAME]
    assert internet.reached == [(first, 80), (PUBLIC, 80)]


def test_a_redirect_is_followed_without_its_cookies(internet: Internet) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        (lead_to("there.txt") if request.path == "/here" else give(b"words"))(request)

    with internet.site(NAME, answer) as seen:
        assert Fetching(f"http://{NAME}/here").fetch().data == b"words"
    assert [request.path for request in seen] == ["/here", "/there.txt"]
    assert "cookie" not in seen[1].headers


def test_redirects_end(internet: Internet) -> None:
    with internet.site(NAME, lead_to("/")) as seen:
        assert "leads on" in refused(f"http://{NAME}/")
    assert len(seen) == 6


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://files.example/", "files.example", "http://", "http://a:b@files.example/"),
        *("http://[1", f"http://{NAME}\0.other.example/", f"http://{NAME}\\.other.example/"),
        *(f"http://{NAME} .other.example/", f"http://{NAME}\x7f/"),
    ],
)
def test_other_addresses_are_none(url: str, internet: Internet) -> None:
    assert "no http" in refused(url)
    assert internet.asked == []


def test_an_answer_that_is_no_file(internet: Internet) -> None:
    def missing(request: BaseHTTPRequestHandler) -> None:
        request.send_error(404)

    with internet.site(NAME, missing):
        assert "status 404" in refused(f"http://{NAME}/")

    def cut(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", "10")
        request.end_headers()
        request.wfile.write(b"words")

    with internet.site(NAME, cut):
        assert "ended before" in refused(f"http://{NAME}/")


def test_a_file_that_never_ends_is_given_up(internet: Internet) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"a" * (1 << 20))
        except OSError:
            pass

    with internet.site(NAME, endless):
        assert f"longer than {fetch.MOST_BYTES}" in refused(f"http://{NAME}/")


def test_one_that_says_nothing_is_left_when_told_to(internet: Internet) -> None:
    has_come, may_end = threading.Event(), threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        has_come.set()
        may_end.wait(HANG_S)

    fetching = Fetching(f"http://{NAME}/")

    def stop() -> None:
        assert has_come.wait(HANG_S)
        fetching.stop()

    stopping = threading.Thread(target=stop)
    with internet.site(NAME, silent):
        stopping.start()
        try:
            with pytest.raises(FileUnreadable, match="too long"):
                fetching.fetch()
        finally:
            may_end.set()
            stopping.join()


def test_one_that_was_stopped_asks_nothing_any_more(internet: Internet) -> None:
    """Told so while a name was looked up, when there was no connection to end yet."""
    fetching = Fetching(f"http://{NAME}/")
    fetching.stop()
    expected = pytest.raises(FileUnreadable, match="too long")
    with internet.site(NAME, give(b"words")) as seen, expected:
        fetching.fetch()
    assert seen == []
