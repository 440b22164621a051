"""TLS: what the daemon shows, and how this machine's own commands know it again.

``ssl`` is imported only where there is a certificate: ``mlxoss status`` must be quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlxoss.denied import why
from mlxoss.errors import ConfigError

if TYPE_CHECKING:
    import ssl


def make_server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What serves with these PEM files, TLS 1.2 or newer; ``None`` without both.

    The certificate's file may go on with those that signed it. Raises ConfigError when one
    of them is missing, cannot be read or does not fit the other.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "tls_cert" if certificate is None else "tls_key"
        raise ConfigError(
            f"TLS takes both tls_cert and tls_key, and {missing} is not set.", key=missing
        )
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _read_first(certificate)
    _check_readable(key, "tls_key")
    try:
        # A password, lest OpenSSL ask the terminal for one.
        context.load_cert_chain(certificate, key, password="-")  # noqa: S106  # nosec B106
    except ssl.SSLError as error:
        raise ConfigError(
            f"The key {key} does not fit the certificate {certificate}, or is none in PEM "
            f"without a password ({error.reason or error}).",
            key="tls_key",
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def make_client_context(certificate: Path) -> ssl.SSLContext:
    """What trusts the server that shows ``certificate``, the first in its file, and no other.

    The name in it does not matter: who has its key is the daemon. Raises ConfigError.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=_read_first(certificate))
    return context


def _read_first(certificate: Path) -> bytes:
    """The first certificate of a file, as DER; ConfigError if there is none."""
    import ssl

    _check_readable(certificate, "tls_cert")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, found, rest = certificate.read_text("ascii", "replace").partition(begin)
    try:
        der = ssl.PEM_cert_to_DER_cert(found + rest.partition(end)[0] + end)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError):
        raise ConfigError(f"{certificate} holds no certificate in PEM.", key="tls_cert") from None
    return der


def _check_readable(path: Path, key: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {why(error)}.", key=key) from None
