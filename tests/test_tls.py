"""Which files TLS is served with, and whom the daemon's own machine trusts."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxoss.errors import ConfigError
from mlxoss.tls import make_client_context, make_server_context
from tests.support.certificates import Pair, make_pair

Spoil = Callable[[Pair, Path], tuple[Path | None, Path | None]]


def test_without_files_there_is_none() -> None:
    assert make_server_context(None, None) is None


def _other_key(pair: Pair, folder: Path) -> tuple[Path, Path]:
    return pair.certificate, make_pair(folder / "other").key


def _password(pair: Pair, folder: Path) -> tuple[Path, Path]:
    locked = make_pair(folder / "locked", password=b"secret")
    return locked.certificate, locked.key


def _garbage(pair: Pair, folder: Path) -> tuple[Path, Path]:
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return pair.certificate, pair.key


@pytest.mark.parametrize(
    ("spoil", "key", "words"),
    [
        (lambda pair, _: (pair.certificate, None), "tls_key", "tls_key is not set"),
        (lambda pair, _: (None, pair.key), "tls_cert", "tls_cert is not set"),
        (lambda pair, folder: (pair.certificate, folder / "no"), "tls_key", "No such file"),
        (lambda pair, folder: (folder / "no", pair.key), "tls_cert", "No such file"),
        (lambda pair, folder: (folder, pair.key), "tls_cert", "cannot be read"),
        (lambda pair, _: (pair.key, pair.key), "tls_cert", "no certificate"),
        (_garbage, "tls_cert", "no certificate"),
        (lambda pair, _: (pair.certificate, pair.certificate), "tls_key", "is none in PEM"),
        (_other_key, "tls_key", "does not fit"),
        (_password, "tls_key", "without a password"),
    ],
)
def test_files_that_will_not_do(tmp_path: Path, spoil: Spoil, key: str, words: str) -> None:
    certificate, private = spoil(make_pair(tmp_path / "pair"), tmp_path)
    with pytest.raises(ConfigError, match=words) as caught:
        make_server_context(certificate, private)
    assert caught.value.key == key


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """The version that both agree on; raises what the client finds wrong."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            theirs.settimeout(120)
            with contextlib.suppress(OSError):
                server.wrap_socket(theirs, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours:
            ours.settimeout(120)
            with client.wrap_socket(ours) as connection:
                return connection.version()
    finally:
        thread.join()


def test_exactly_that_certificate_is_trusted(tmp_path: Path) -> None:
    pair, other = make_pair(tmp_path / "a", "my-mac.local"), make_pair(tmp_path / "b")
    server = make_server_context(pair.certificate, pair.key)
    assert server is not None
    assert shake_hands(server, make_client_context(pair.certificate)) == "TLSv1.3"
    chain = tmp_path / "chain.pem"
    chain.write_bytes(pair.certificate.read_bytes() + other.certificate.read_bytes())
    assert shake_hands(server, make_client_context(chain)) == "TLSv1.3"
    chain.write_bytes(other.certificate.read_bytes() + pair.certificate.read_bytes())
    for wrong in (other.certificate, chain):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(server, make_client_context(wrong))


def test_old_versions_are_not_spoken(tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "a")
    server = make_server_context(pair.certificate, pair.key)
    assert server is not None
    client = make_client_context(pair.certificate)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(server, client) == "TLSv1.2"
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
