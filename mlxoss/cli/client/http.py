"""A server as the commands ask it, on the standard library alone."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mlxoss import __version__, paths
from mlxoss.api_key_file import read_local_token
from mlxoss.cli.options import read_config
from mlxoss.cli.this_machine import command_env
from mlxoss.config import API_KEY_VARIABLE
from mlxoss.errors import ConfigError, MlxossError
from mlxoss.tls import make_client_context

# A server that is alive sends at least a comment every 15 s once it streams; before
# that it may be loading the model.
SILENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is (``http://host:port``, with or without ``/v1``), and the API key to send.

    With ``certificate`` the server must show that one, else one that this machine trusts.
    ``key_variable`` is where a user sets the key.
    Every method raises ``ConfigError`` for a URL that is none and ``MlxossError`` when no server
    answers, when it answers with an error, or when the answer breaks off.
    """

    url: str
    key: str | None = None
    certificate: Path | None = None
    key_variable: str = API_KEY_VARIABLE

    def ask(self, method: str, path: str, body: object = None, *, patient: bool = False) -> Any:
        """Return the JSON that it answers; ``patient`` waits for it without end."""
        with self._send(method, path, body, None if patient else SILENCE_S) as response:
            try:
                return json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise MlxossError(f"The answer broke off: {_why(error)}.") from None

    def stream(self, path: str, body: object) -> Iterator[Any]:
        """The JSON of each event up to ``[DONE]``.

        Closing the iterator drops the connection, which makes the server stop.
        """
        with self._send("POST", path, body, SILENCE_S) as response:
            for chunk in _data(response):
                if "error" in chunk:
                    raise MlxossError(f"The server failed: {chunk['error'].get('message')}")
                yield chunk

    @contextmanager
    def _send(
        self, method: str, path: str, body: object, silence_s: float | None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the answer's head said that it went well."""
        target = _parse_url(self.url)
        with closing(connect(target, self.certificate, silence_s)) as connection:
            try:
                where = target.path.rstrip("/").removesuffix("/v1") + path
                content = None if body is None else json.dumps(body)
                connection.request(method, where, content, self._headers(content))
                response = connection.getresponse()
            except ConnectionRefusedError:
                message = f"No server at {self.url}; start it with: mlxoss serve"
                raise MlxossError(message) from None
            except (OSError, http.client.HTTPException) as error:
                message = f"The server at {self.url} cannot be reached: {_why(error)}."
                raise MlxossError(message) from None
            if response.status != 200:
                raise MlxossError(
                    f"The server refused: {_complaint(response)}{self._hint(response)}"
                )
            yield response

    def _hint(self, response: http.client.HTTPResponse) -> str:
        return f" Then: export {self.key_variable}=KEY" if response.status == 401 else ""

    def _headers(self, content: str | None) -> dict[str, str]:
        headers = {"User-Agent": f"mlxoss/{__version__}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        return headers


def find_server(url: str | None) -> Server:
    """The server at ``url``, else the one that the configuration describes.

    The key is the one in ``MLXOSS_API_KEY``, else, for this machine's own, what it left for its
    commands.
    """
    key = os.environ.get(API_KEY_VARIABLE)
    if url is not None:
        return Server(url, key)
    env = command_env()
    config = read_config({}, env=env)
    # Only to the server that writes it: any other would learn it.
    key = key or read_local_token(paths.data_dir(env))
    return Server(config.url, key, config.tls_cert)


def _parse_url(url: str) -> SplitResult:
    try:
        target = urlsplit(url if "//" in url else f"http://{url}")
        if target.scheme in ("http", "https") and target.hostname and target.port != 0:
            return target
    except ValueError:
        pass
    message = f"--url must be like http://127.0.0.1:8000, not {url!r}."
    raise ConfigError(message, key="--url", source="command line")


def connect(
    target: SplitResult, certificate: Path | None, timeout_s: float | None
) -> http.client.HTTPConnection:
    """A connection to the server of a URL, made when it is used; ``ConfigError`` for a
    ``certificate`` that is none.
    """
    host, port = target.hostname or "", target.port
    if target.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    context = None if certificate is None else make_client_context(certificate)
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


def _data(response: http.client.HTTPResponse) -> Iterator[Any]:
    """The JSON of each ``data:`` line up to ``[DONE]``."""
    try:
        while line := response.readline():
            field, _, value = line.strip().partition(b":")
            if field != b"data":
                continue
            if value.strip() == b"[DONE]":
                response.read()  # to its end: who leaves before that is taken for having left
                return
            yield json.loads(value)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MlxossError(f"The answer broke off: {_why(error)}.") from None
    raise MlxossError("The answer broke off: the server closed the connection.")


def _complaint(response: http.client.HTTPResponse) -> str:
    """The message of an error answer in OpenAI's form or a plainer one, else its status line."""
    try:
        error = json.loads(response.read())["error"]
        return error if isinstance(error, str) else str(error["message"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"HTTP {response.status} {response.reason}"


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {SILENCE_S:.0f} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
