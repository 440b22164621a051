"""What the web may do to the browser: lead it inside, or never end."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import logging
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mlxoss import __version__
from mlxoss.hosted.browser.web import WebBounds
from tests.hosted.browser.conftest import Surfing
from tests.support.certificates import make_pair
from tests.support.internet import PUBLIC, give, lead_to
from tests.support.waiting import HANG_S, until

SITE = "site.example"
HERE = f"http://{SITE}/"
LONG = WebBounds(page_s=HANG_S)


@pytest.fixture
def canary() -> Iterator[list[tuple[str, int]]]:
    """A server of this machine, on all its addresses, that nobody may connect to."""
    reached: list[tuple[str, int]] = []

    class Canary(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            super().server_bind()

        def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
            request, address = super().get_request()
            reached.append(address[:2])
            return request, address

    server = Canary(("::", 0), BaseHTTPRequestHandler)
    reached.append(("", server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield reached
    server.shutdown()
    thread.join()
    server.server_close()


def opened(surfing: Surfing, url: str = HERE) -> str:
    return surfing.call(surfing.session(said=[url]), "open", id=url).text


def test_who_asks_says_so(surfing: Surfing) -> None:
    with surfing.internet.site(SITE, give(b"words")) as seen:
        opened(surfing)
    (request,) = seen
    assert request.headers["user-agent"] == f"mlxoss/{__version__}"
    assert request.headers["accept-encoding"] == "gzip"
    assert not {"cookie", "authorization", "referer"} & set(map(str.lower, request.headers))


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "[::1]",
            "0x7f000001",
            "2130706433",
            "127.1",
            "0",
            "0.0.0.0",
            "017700000001",
        ),
        *("[::ffff:127.0.0.1]", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost"),
        *("127.0.0.1.", "localhost.", "①②⑦.0.0.1"),
    ],
)
def test_this_machine_is_not_asked(
    host: str, surfing: Surfing, canary: list[tuple[str, int]]
) -> None:
    url = f"http://{host}:{canary[0][1]}/"
    surfing.is_found(url)
    session = surfing.session(said=[url])
    surfing.call(session, "search", query="a")
    for place in (url, 0):
        refused = surfing.call(session, "open", id=place)
        assert refused.is_failed
        assert "not public" in refused.text or "nothing is known" in refused.text, refused.text
    assert len(canary) == 1


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "[fd00:ec2::254]"]
)
def test_its_network_is_not_asked(host: str, surfing: Surfing) -> None:
    assert "not public" in opened(surfing, f"http://{host}/latest/meta-data/")
    assert surfing.internet.reached == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1", PUBLIC]])
def test_a_name_that_leads_there(
    addresses: list[str], surfing: Surfing, canary: list[tuple[str, int]]
) -> None:
    surfing.internet.names[SITE] = addresses
    assert "not public" in opened(surfing, f"http://{SITE}:{canary[0][1]}/")
    assert len(canary) == 1


def test_a_name_that_leads_elsewhere_the_second_time(
    surfing: Surfing, canary: list[tuple[str, int]]
) -> None:
    class Rebinding(list[str]):
        def __iter__(self) -> Iterator[str]:
            return iter([PUBLIC] if len(surfing.internet.asked) == 1 else ["127.0.0.1"])

    port = canary[0][1]
    with surfing.internet.site(SITE, give(b"words")):
        surfing.internet.ports[PUBLIC, port] = surfing.internet.ports[PUBLIC, 80]
        surfing.internet.names[SITE] = Rebinding()
        assert "words" in opened(surfing, f"http://{SITE}:{port}/")
        assert "not public" in opened(surfing, f"http://{SITE}:{port}/")
    assert len(canary) == 1


@pytest.mark.parametrize(
    "place",
    [
        *("http://127.0.0.1:PORT/", "http://inner.example:PORT/", "//[::1]:PORT/"),
        *("file:///etc/passwd", "gopher://a/", "data:text/html,a", "http://[1", "javascript:a"),
        "http://a:b@site.example/",
    ],
)
def test_a_redirect_is_checked(place: str, surfing: Surfing, canary: list[tuple[str, int]]) -> None:
    surfing.internet.names["inner.example"] = ["127.0.0.1"]
    place = place.replace("PORT", str(canary[0][1]))
    with surfing.internet.site(SITE, lead_to(place)) as seen:
        text = opened(surfing)
    assert text.startswith(f"Error fetching URL `{HERE}`: ")
    assert len(seen) == len(canary) == 1


def test_redirects_are_few(surfing: Surfing) -> None:
    with surfing.internet.site(SITE, lead_to("/")) as seen:
        assert "leads on more than 5 times" in opened(surfing)
    assert len(seen) == 6
    assert all("cookie" not in request.headers for request in seen)


def test_where_a_redirect_leads_is_the_page(surfing: Surfing) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        page = give(b"<a href=c>c</a>", "text/html")
        (lead_to("/a/b#c") if request.path == "/" else page)(request)

    session = surfing.session(said=[HERE])
    with surfing.internet.site(SITE, answer) as seen:
        shown = surfing.call(session, "open", id=HERE)
        assert shown.page is not None
        assert shown.page.url == f"http://{SITE}/a/b"
        surfing.call(session, "open", id=0)
    assert [request.path for request in seen] == ["/", "/a/b", "/a/c"]


def packed(body: bytes, kind: str = "gzip") -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-type", "text/plain")
        request.send_header("content-encoding", kind)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_a_packed_page(surfing: Surfing) -> None:
    with surfing.internet.site(SITE, packed(gzip.compress(b"words"))):
        assert "L2: words" in opened(surfing)
    with surfing.internet.site(SITE, packed(gzip.compress(b"words") + b"behind")):
        assert "L2: words" in opened(surfing)
    with surfing.internet.site(SITE, packed(gzip.compress(b"words" * 1000)[:-12])):
        assert "ended before" in opened(surfing)
    with surfing.internet.site(SITE, packed(b"words")):
        assert "could not be read: error" in opened(surfing)
    with surfing.internet.site(SITE, packed(b"words", "br")):
        assert "compressed, which was not asked for" in opened(surfing)


def test_a_bomb_is_not_unpacked(surfing: Surfing) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(500)), packer.flush()])
    assert len(bomb) < 1 << 20
    with surfing.internet.site(SITE, packed(bomb)):
        assert f"longer than {5 << 20} bytes" in opened(surfing)


def test_a_page_that_is_too_long(surfing: Surfing) -> None:
    with surfing.internet.site(SITE, give(bytes(50 << 20))):
        assert f"longer than {5 << 20} bytes" in opened(surfing)


def drip(piece: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with a head and then the piece again and again, as long as it is taken."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        try:
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                request.wfile.write(piece)
                threading.Event().wait(0.001)
        except OSError:
            pass

    return answer


@pytest.mark.parametrize(
    "piece", [b"a", b"x: " + b"a" * 60_000, b"\r\na" * 2, b"\r\n\r\na", b"x: y\r\n"]
)
def test_an_answer_that_drips_is_left(piece: bytes, surfing: Surfing) -> None:
    surfing.start(web_bounds=WebBounds(page_s=0.5))
    with surfing.internet.site(SITE, drip(piece)):
        assert "could not be read" in opened(surfing)


def test_a_handshake_that_drips_is_left(surfing: Surfing) -> None:
    surfing.start(web_bounds=WebBounds(page_s=0.3))
    with socket.create_server(("127.0.0.1", 0)) as server:
        surfing.internet.names[SITE] = [PUBLIC]
        surfing.internet.ports[PUBLIC, 443] = server.getsockname()[1]
        left = threading.Event()

        def hold() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x40\x00\x02")  # a record of 16 kB follows
                while True:
                    connection.sendall(b"a")
                    threading.Event().wait(0.05)
            left.set()

        thread = threading.Thread(target=hold)
        thread.start()
        assert "it took too long" in opened(surfing, f"https://{SITE}/")
        assert left.wait(HANG_S)
        thread.join()


def test_one_that_is_cancelled_lets_go_of_the_connection(surfing: Surfing) -> None:
    surfing.start(web_bounds=LONG)
    has_come, left = threading.Event(), threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        has_come.set()
        request.connection.settimeout(HANG_S)
        if request.rfile.read(1) == b"":
            left.set()

    async def cancel() -> None:
        call = session.call("open", json.dumps({"id": HERE}))
        task = asyncio.get_running_loop().create_task(call)
        await asyncio.to_thread(has_come.wait, HANG_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    session = surfing.session(said=[HERE])
    with surfing.internet.site(SITE, silent):
        surfing.runner.run(cancel())
        assert left.wait(HANG_S)


def test_a_page_that_is_none(surfing: Surfing) -> None:
    def missing(request: BaseHTTPRequestHandler) -> None:
        request.send_error(404)

    with surfing.internet.site(SITE, missing):
        assert opened(surfing) == (
            f"Error fetching URL `{HERE}`: the address answers with the status 404."
        )
    with surfing.internet.site(SITE, give(b"\x89PNG\r\n\x1a\n\0\0", "text/html")):
        assert opened(surfing).startswith(f"Error reading URL `{HERE}`: it is no page of text")


def test_by_https_with_the_name_of_the_site(
    surfing: Surfing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_pair(tmp_path, SITE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)
    with surfing.internet.site(SITE, give(b"words"), tls=context) as seen:
        assert "SSLCertVerificationError" in opened(surfing, f"https://{SITE}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        assert "words" in opened(surfing, f"https://{SITE}/")
    assert names == [SITE, SITE]
    assert seen[0].headers["host"] == SITE
    assert surfing.internet.reached == [(PUBLIC, 443)] * 2


def test_nobodys_words_are_logged(surfing: Surfing, caplog: pytest.LogCaptureFixture) -> None:
    surfing.is_found(HERE, "canary", "canary")
    session = surfing.session(said=["canary"])
    with caplog.at_level(logging.DEBUG), surfing.internet.site(SITE, give(b"canary")):
        surfing.call(session, "search", query="canary")
        surfing.call(session, "open", id=0)
        surfing.call(session, "find", pattern="canary")
        surfing.call(session, "open", id="http://canary.example/")
    assert "canary" not in caplog.text
    assert SITE not in caplog.text


def test_after_the_close_no_thread_is_left(surfing: Surfing) -> None:
    with surfing.internet.site(SITE, give(b"words")):
        opened(surfing)
    assert surfing.browser is not None
    surfing.runner.run(surfing.browser.close())
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("mlxoss-browser")])
