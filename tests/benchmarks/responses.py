"""What the Responses API costs a stream, against chat completions.

Run with ``python -m tests.benchmarks.responses``. A scripted model writes ``--tokens``
tokens as fast as it is asked; the same answer is streamed by chat completions and by
``/v1/responses`` without and with storing, ``--rounds`` times by turns, over a real
socket. Every token is an event. The last column is the time from the last delta to the
end of the answer: where a response is put on the disk, with everything behind a delta.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.harmony.encoding import load_encoding
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import DATE, Server, running
from tests.support.server.scripts import always

Run = tuple[float, float, float]
"""Microseconds for an event, seconds to the first delta, seconds from the last one to the end."""

MESSAGES = [{"role": "user", "content": "Write on."}]
WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "chat completions": ("/v1/chat/completions", {"messages": MESSAGES}),
    "responses, store: false": ("/v1/responses", {"input": MESSAGES, "store": False}),
    "responses, stored": ("/v1/responses", {"input": MESSAGES}),
    "responses, background": ("/v1/responses", {"input": MESSAGES, "background": True}),
}


def stream(server: Server, path: str, fields: dict[str, Any]) -> Run:
    """Stream one answer and time its events as a client reads them."""
    body = json.dumps({"model": "any", "stream": True} | fields)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)) as connection:
        begin = time.perf_counter()
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        first = last = 0.0
        count = 0
        for line in answer:
            if is_delta(line):
                last = time.perf_counter()
                first = first or last
                count += 1
        end = time.perf_counter()
    return 1e6 * (last - first) / max(count - 1, 1), first - begin, end - last


def is_delta(line: bytes) -> bool:
    """Whether a line of the wire carries text."""
    return b'"content":"' in line or line.startswith(b"event: response.output_text.delta")


def report(runs: Mapping[str, list[Run]]) -> None:
    """Print the medians, and the first row's ratio to each."""
    print(f"| {'way':26} | {'µs/event':>9} | {'ratio':>6} | {'first ms':>9} | {'end ms':>7} |")
    print(f"|{'-' * 28}|{'-' * 11}|{'-' * 8}|{'-' * 11}|{'-' * 9}|")
    base = statistics.median(run[0] for run in runs["chat completions"])
    for way, found in runs.items():
        event, first, end = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"| {way:26} | {event:9.1f} | {event / base:6.2f} "
            f"| {1000 * first:9.1f} | {1000 * end:7.1f} |"
        )


def main() -> None:
    """Parse the options, stream, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    encoding = load_encoding()
    written = always(encoding, "<|channel|>final<|message|>" + "word " * options.tokens)
    model = ModelInfo("scripted", 1_000_000, 1)
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            lambda: ScriptedBackend(written),
            lambda: encoding,
            config=Config(date=DATE),
            model=model,
            folder=Path(folder),
        ) as server,
    ):
        for number in range(options.rounds + 1):
            for way, (path, fields) in WAYS.items():
                run = stream(server, path, fields)
                if number:  # the first round warms up
                    runs[way].append(run)
    report(runs)


if __name__ == "__main__":
    main()
