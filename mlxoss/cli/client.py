"""A client of one streamed chat completion, on the standard library alone."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mlxoss.errors import ConfigError, MlxossError
from mlxoss.tls import make_client_context

# A server that is alive sends at least a comment every 15 s once it streams; before
# that it may be loading the model.
SILENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end, with OpenAI's ``finish_reason``."""

    reason: str


Piece = Reasoning | Content | Finished


def stream_chat(
    url: str,
    text: str,
    effort: str | None = None,
    key: str | None = None,
    certificate: Path | None = None,
) -> Iterator[Piece]:
    """Ask ``text`` of the server at ``url`` (``http://host:port``, with or without ``/v1``).

    ``key`` is sent as the API key. With ``certificate`` the server must show that one, else one
    that this machine trusts. Closing the iterator drops the connection, which makes
    the server stop. Raises ``ConfigError`` for a URL that is none and ``MlxossError`` when
    no server answers, when it answers with an error, or when the stream breaks off.
    """
    body: dict[str, object] = {
        "model": "default",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
    }
    if effort is not None:
        body["reasoning_effort"] = str(effort)
    target = _parse_url(url)
    with closing(connect(target, certificate, SILENCE_S)) as connection:
        try:
            path = target.path.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
            headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
            if key is not None:
                headers["Authorization"] = f"Bearer {key}"
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
        except ConnectionRefusedError:
            raise MlxossError(f"No server at {url}; start it with: mlxoss serve") from None
        except (OSError, http.client.HTTPException) as error:
            raise MlxossError(f"The server at {url} cannot be reached: {_why(error)}.") from None
        if response.status != 200:
            raise MlxossError(f"The server refused: {_complaint(response)}")
        yield from _pieces(_data(response))


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
    target: SplitResult, certificate: Path | None, timeout_s: float
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
                return
            yield json.loads(value)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MlxossError(f"The answer broke off: {_why(error)}.") from None
    raise MlxossError("The answer broke off: the server closed the connection.")


def _pieces(chunks: Iterable[Any]) -> Iterator[Piece]:
    for chunk in chunks:
        if "error" in chunk:
            raise MlxossError(f"The server failed: {chunk['error'].get('message')}")
        for choice in chunk.get("choices", []):
            delta = choice.get("delta", {})
            if reasoning := delta.get("reasoning"):
                yield Reasoning(reasoning)
            if content := delta.get("content"):
                yield Content(content)
            if reason := choice.get("finish_reason"):
                yield Finished(reason)


def _complaint(response: http.client.HTTPResponse) -> str:
    """The message of an error answer in OpenAI's form, else its status line."""
    try:
        return str(json.loads(response.read())["error"]["message"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"HTTP {response.status} {response.reason}"


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {SILENCE_S:.0f} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
