"""Is the service as fast as a run in the foreground? The one way to see a throttled GPU."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mlxoss.api_key_file import read_local_token
from mlxoss.cli.client.http import connect
from mlxoss.cli.memory import has_room_for_two
from mlxoss.cli.status.view import View
from mlxoss.cli.this_machine import Machine
from mlxoss.config import ENV_PREFIX
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.errors import MlxossError
from mlxoss.findings import Check, Level
from mlxoss.service.status import Verdict

NAME = "speed"
WORDS = 400
SLOW = 0.7
_LIMIT_S = 600.0
_ADDRESS = re.compile(r"Serving \S+ at (https?://\S+)/v1\.")


def check_speed(machine: Machine, view: View) -> Check:
    """Time one short prefill in the service and in a foreground daemon with the same settings.

    The two models are in memory at the same time, so there must be room for both. The
    service should be idle. Never raises.
    """
    if view.status.verdict is not Verdict.HEALTHY:
        return Check(NAME, Level.SKIP, "the service does not run")
    if view.config.hostfile is not None:
        return Check(NAME, Level.SKIP, "a second group of hosts is not started to compare with")
    try:
        source = resolve_model(view.config.model, env=machine.env)
        if not has_room_for_two(source.folder):
            return Check(NAME, Level.SKIP, "there is no room for the model a second time")
        token = read_local_token(machine.state)
        certificate = view.config.tls_cert
        service = prefill_seconds(view.config.url, token, certificate)
        with _foreground(machine) as url:
            token = read_local_token(machine.state)  # its start made a new one
            foreground = prefill_seconds(url, token, certificate)
    except (MlxossError, OSError, http.client.HTTPException, ValueError) as error:
        return Check(NAME, Level.SKIP, f"it could not be measured: {error}")
    return compare(service, foreground)


def compare(service_s: float, foreground_s: float) -> Check:
    """Judge two times for the same work."""
    ratio = foreground_s / service_s
    detail = f"one prefill: {service_s:.2f} s in the service, {foreground_s:.2f} s in front"
    if ratio >= SLOW:
        return Check(NAME, Level.OK, detail)
    remedy = "The system throttles it: see `priority` above; mlxoss install; mlxoss restart"
    return Check(NAME, Level.FAIL, f"{detail}: it runs at {ratio:.0%}", remedy)


def prefill_seconds(url: str, token: str | None, certificate: Path | None) -> float:
    """Return the better of two times for a prompt of ``WORDS`` words and one token.

    Each prompt begins differently, so that no earlier work can be used again.
    """
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connections = [connect(urlsplit(url), certificate, _LIMIT_S) for _ in range(2)]
    return min(_prefill_once(each, str(n), headers) for n, each in enumerate(connections))


def _prefill_once(
    connection: http.client.HTTPConnection, first: str, headers: dict[str, str]
) -> float:
    text = " ".join([first, str(time.time_ns()), *["word"] * WORDS])
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
    started = time.monotonic()
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise MlxossError(f"HTTP {answer.status}")
    return time.monotonic() - started


@contextmanager
def _foreground(machine: Machine) -> Iterator[str]:
    """Run a daemon with the service's settings on a free port.

    It keeps its responses in memory and logs to a file of its own: those of the service
    are the service's.
    """
    shell = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
    env = {**shell, **machine.env}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-P",
            "-m",
            "mlxoss",
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ]
        command += ["--responses-store", "off", "--log-file", str(Path(folder, "log"))]
        command += ["--unix-socket", str(Path(folder, "socket"))]
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                yield _find_address(process.stderr)
            finally:
                process.terminate()


def _find_address(said: Iterable[str]) -> str:
    """Read what the daemon says until it says where it listens."""
    line = "it said nothing"
    for line in said:
        if match := _ADDRESS.match(line):
            return match[1]
    raise MlxossError(f"the foreground daemon did not start: {line.strip()}")
