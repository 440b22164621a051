"""A whole server on a real socket, its event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.backend import Backend
from mlxoss.engine.engine import Engine
from mlxoss.engine.idling import Idling
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.hosted.tools import HostedTools
from mlxoss.server.app import create_app
from mlxoss.server.http.errors import App
from mlxoss.server.http.listeners import open_listeners, start_listening
from mlxoss.server.lifecycle import stop_serving
from mlxoss.server.services import Services
from mlxoss.server.storage import open_in_memory, open_storage
from mlxoss.turns.ahead.warming import Ahead
from mlxoss.turns.context import ServedModel
from mlxoss.turns.recovery import recover
from tests.support.http import Answer, ask
from tests.support.waiting import HANG_S

MODEL = ModelInfo(name="tiny/gpt-oss", context_tokens=4096, created=1_700_000_000)
DATE = datetime.date(2026, 11, 22)
_names = (f"mlxoss-test-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Server:
    """A running server as its clients and its test see it."""

    port: int
    services: Services
    loop: asyncio.AbstractEventLoop
    app: App
    clients: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> openai.OpenAI:
        """The official client, without retries so that errors are seen as they are."""
        options = {"max_retries": 0, "timeout": HANG_S} | options
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", **options)
        return self.clients.enter_context(client)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG_S)


@contextmanager
def running(
    load: Callable[[], Backend],
    load_encoding: Callable[[], Encoding],
    *,
    config: Config | None = None,
    model: ModelInfo = MODEL,
    heartbeat_s: float = 15.0,
    drain_s: float = 5.0,
    guards: GrammarCompiler | None = None,
    folder: Path | None = None,
    idle_unload_s: float | None = None,
    ahead: Ahead | None = None,
    tools: HostedTools | None = None,
) -> Iterator[Server]:
    """Serve until the block ends, on a free port; ``folder`` is for what outlives that."""
    config = config or Config(date=DATE)
    started: Future[Server] = Future()
    end = asyncio.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        engine = Engine(
            load,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            idling=Idling(unload_s=idle_unload_s),
        )
        app = create_app(
            config,
            ServedModel(
                engine, model, None if guards is None else lambda encoding: guards, ahead, tools
            ),
            load_encoding,
            name=next(_names),
            heartbeat_s=heartbeat_s,
        )
        with open_listeners(dataclasses.replace(config, port=0)) as listeners:
            services: Services = app.ctx.services
            services.open(
                open_in_memory(config) if folder is None else open_storage(folder, config)
            )
            await recover(services.turns.storage.store)
            serving = await start_listening(app, listeners)
            engine.start(loop, lambda error: None)
            warming = loop.create_task(services.turns.warmer.run())
            port = listeners[0].socket.getsockname()[1]
            started.set_result(Server(port, services, loop, app))
            await end.wait()
            warming.cancel()
            await stop_serving(serving, services, drain_s=drain_s)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        server = started.result(HANG_S)
        try:
            with server.clients:
                yield server
        finally:
            server.loop.call_soon_threadsafe(end.set)
    finally:
        thread.join(HANG_S)
        assert not thread.is_alive()


def ask_chat(server: Server, **fields: Any) -> Answer:
    """A chat request with the usual ``model`` and ``messages`` unless ``fields`` has others."""
    return post(server, chat_body(**fields))


def post(server: Server, body: bytes) -> Answer:
    """Bytes to the chat endpoint, called JSON."""
    headers = {"content-type": "application/json"}
    return ask(server, "POST", "/v1/chat/completions", body, headers)


def chat_body(**fields: Any) -> bytes:
    """A chat request's JSON."""
    usual = {"model": "any", "messages": [{"role": "user", "content": "Hello!"}]}
    return json.dumps(usual | fields).encode()


def send_chat(connection: socket.socket, **fields: Any) -> None:
    """Send a chat request over ``connection`` without reading the answer."""
    body = chat_body(**fields)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def sse_payloads(body: bytes) -> list[bytes]:
    """The ``data`` of each event of a whole SSE body; comments left out."""
    blocks = [block for block in body.split(b"\n\n") if block]
    assert body.endswith(b"\n\n")
    lines = [line for block in blocks for line in block.split(b"\n")]
    return [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]


@contextmanager
def set_at_last(event: threading.Event) -> Iterator[None]:
    """Whatever happens, let those go on who wait for ``event``."""
    try:
        yield
    finally:
        event.set()


def kept_responses(server: Server) -> int:
    """How many responses ``/health`` counts: it leaves them out while the disk is slow."""
    while (store := ask(server, "GET", "/health").json.get("store")) is None:
        time.sleep(0.01)
    assert store["bytes"] > 0
    count: int = store["responses"]
    return count
