"""A whole server on a real socket, its event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import openai

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.backend import Backend
from mlxoss.engine.engine import Engine
from mlxoss.harmony.encoding import Encoding
from mlxoss.server.app import create_app
from mlxoss.server.run import bind, start_listening, stop_serving
from mlxoss.server.services import Services

MODEL = ModelInfo(name="tiny/gpt-oss", context_tokens=4096, created=1_700_000_000)
DATE = datetime.date(2026, 11, 22)
_names = (f"mlxoss-test-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Server:
    """A running server as its clients and its test see it."""

    port: int
    services: Services
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> openai.OpenAI:
        """The official client, without retries so that errors are seen as they are."""
        options = {"max_retries": 0, "timeout": 30.0} | options
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextmanager
def running(
    load: Callable[[], Backend],
    load_encoding: Callable[[], Encoding],
    *,
    config: Config | None = None,
    model: ModelInfo = MODEL,
    heartbeat_s: float = 15.0,
    drain_s: float = 5.0,
) -> Iterator[Server]:
    """Serve until the block ends, on a free port."""
    config = config or Config(date=DATE)
    started: list[Server] = []
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(end.set))
        engine = Engine(load, max_batch=config.max_batch, max_queue=config.max_queue)
        app = create_app(
            config,
            engine,
            load_encoding,
            model=model,
            name=next(_names),
            heartbeat_s=heartbeat_s,
        )
        with bind("127.0.0.1", 0) as listener:
            server = await start_listening(app, listener)
            engine.start(loop, lambda error: None)
            services: Services = app.ctx.services
            started.append(Server(listener.getsockname()[1], services, loop))
            ready.set()
            await end.wait()
            await stop_serving(server, services, drain_s=drain_s)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="server")
    thread.start()
    try:
        assert ready.wait(30)
        yield started[0]
    finally:
        stop[0]()
        thread.join(60)
        assert not thread.is_alive()


def eventually(holds: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@dataclass(frozen=True)
class Answer:
    """A raw HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, checked to have exactly OpenAI's fields."""
        error: dict[str, Any] = self.json["error"]
        assert set(self.json) == {"error"}
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str)
        assert error["message"]
        return error
