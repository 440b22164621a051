"""One server process from its socket to its exit code.

Theory of operation. The start, in this order:

1. Open the listening sockets. A port that is taken is told before anything else is touched.
2. Make the app, then open the storage, which locks the database.
3. Mark the background responses that the last process left unfinished as failed: before a client
   can ask for one.
4. Accept connections, and say so. ``/health`` answers from here on.
5. Start the engine, whose thread loads the model. Half a second later load the encoding, which
   keeps the interpreter's lock: the first ``/health`` goes first.

The end begins with a signal or with an engine that cannot go on (exit code 1, and no time for
draining). Each step is there for the one after it:

1. Refuse new turns, stop accepting, close what is idle.
2. Wait for the turns that run, ``DRAIN_S`` at most.
3. Close the engine and the tools: what still runs ends with an error, the model's memory is given
   back, and the tools' processes end.
4. Give those turns a moment to send that error and to store what they have.
5. Close the storage: nobody writes any more.
6. Say goodbye to WebSockets, then to connections; cut off who does not answer.

All of it has a bound, ``LONGEST_STOP_S``, since the service manager kills what takes longer. A
second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlxoss.config import Config
from mlxoss.server.app import create_app
from mlxoss.server.http.errors import App
from mlxoss.server.http.listeners import Listener, Serving, open_listeners, start_listening
from mlxoss.server.services import Services
from mlxoss.server.storage import OpenStorage, open_in_memory, sweep_forever
from mlxoss.turns.context import ServedModel
from mlxoss.turns.recovery import recover

if TYPE_CHECKING:
    from mlxoss.harmony.encoding import Encoding

logger = logging.getLogger(__name__)

DRAIN_S = 25.0
"""How long running turns may take to finish once the process was asked to stop."""

ENCODING_DELAY_S = 0.5
"""Loading the encoding holds the interpreter's lock for 0.4 s. The model takes longer
anyway, so the first ``/health`` of a new process goes first."""

_CLOSE_S = 2.0
"""For the step or the load under way."""

_LAST_WORDS_S = 1.0
_GOODBYE_S = 0.5
LONGEST_STOP_S = DRAIN_S + _CLOSE_S + _LAST_WORDS_S + 2 * _GOODBYE_S
"""Must stay below what the service manager grants (``ServiceSpec.exit_timeout_s``), with time
for the store to be closed."""
_POLL_S = 0.02


OnListening = Callable[[str, int], None]
Watch = Callable[[Services], Awaitable[int]]


@functools.cache
def load_bundled_encoding() -> Encoding:
    """``mlxoss.harmony.encoding.load_encoding``, imported only when it is called, and kept."""
    from mlxoss.harmony.encoding import load_encoding

    return load_encoding()


def run_server(
    config: Config,
    served: ServedModel,
    open_storage: OpenStorage = open_in_memory,
    *,
    on_listening: OnListening | None = None,
    watch: Watch | None = None,
    drain_s: float = DRAIN_S,
) -> int:
    """Serve until told to stop; return the process's exit code.

    ``open_storage`` may raise StoreError, which passes through. Raises what ``open_listeners``
    raises. ``on_listening`` is told the first listener's host and port once connections are
    accepted. ``watch`` runs beside the server; when it returns, that ends with the exit code which
    it returned.
    SIGTERM and SIGINT stop gently: no new connections, ``drain_s`` for the turns
    that run, an error event for those that take longer, then 0. A second signal
    ends the process at once. 1 means that the engine broke and could not recover. Call
    on the main thread.
    """
    with open_listeners(config) as listeners:
        app = create_app(config, served, load_bundled_encoding, name="mlxoss")
        app.ctx.services.open(open_storage(config))
        return asyncio.run(
            serve(app, listeners, on_listening=on_listening, watch=watch, drain_s=drain_s)
        )


async def serve(
    app: App,
    listeners: Sequence[Listener],
    *,
    on_listening: OnListening | None = None,
    watch: Watch | None = None,
    drain_s: float = DRAIN_S,
) -> int:
    """Serve ``app`` on ``listeners`` until a signal or the engine's end; return the exit code."""
    services: Services = app.ctx.services
    loop = asyncio.get_running_loop()
    end = _End()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.on_signal, number)
    await recover(services.turns.storage.store)
    serving = await start_listening(app, listeners)
    beside = [loop.create_task(sweep_forever(services.turns.storage.store))]
    if watch is not None:
        beside.append(loop.create_task(end.after(watch(services))))
    logger.info("listening on %s", ", ".join(listener.url for listener in listeners))
    if on_listening is not None:
        on_listening(*listeners[0].socket.getsockname()[:2])
    services.engine.start(loop, end.on_fatal)
    beside.append(loop.create_task(services.turns.warmer.run()))
    loop.call_later(ENCODING_DELAY_S, services.turns.encoding.start)
    await end.event.wait()
    services.turns.is_stopping = True
    for task in beside:
        task.cancel()
    await stop_serving(serving, services, drain_s=0.0 if end.exit_code else drain_s)
    return end.exit_code


async def stop_serving(serving: Serving, services: Services, *, drain_s: float) -> None:
    """Stop accepting, let the turns finish for ``drain_s``, fail the rest, close everything."""
    services.turns.is_stopping = True
    serving.stop_accepting()
    for connection in list(serving.connections):
        # A WebSocket counts as idle even while it carries a response.
        if connection.websocket is None:
            connection.close_if_idle()  # type: ignore[no-untyped-call]
    if services.turns.in_progress:
        logger.info("stopping; waiting for %d turns", services.turns.in_progress)
    await _wait_for_turns(services, drain_s)
    await asyncio.gather(
        _close("engine", services.engine.close()),
        *([] if services.turns.tools is None else [_close("tools", services.turns.tools.close())]),
    )
    await _wait_for_turns(services, _LAST_WORDS_S)
    await services.usage.close()
    await services.storage.close()
    services.turns.awake.close()
    await _close_sockets(serving)
    for connection in list(serving.connections):
        if not connection.close_if_idle():  # type: ignore[no-untyped-call]
            connection.abort()  # type: ignore[no-untyped-call]
    await _wait_for_goodbyes(serving)


async def _close(name: str, closing: Coroutine[Any, Any, None]) -> None:
    try:
        await asyncio.wait_for(closing, _CLOSE_S)
    except TimeoutError:
        logger.warning("the %s did not stop within %.0f s", name, _CLOSE_S)


async def _wait_for_goodbyes(serving: Serving) -> None:
    """TLS ends with a word from either side; who does not say it in time is cut off."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _GOODBYE_S
    while serving.connections and loop.time() < deadline:
        await asyncio.sleep(_POLL_S)
    for connection in list(serving.connections):
        connection.abort()  # type: ignore[no-untyped-call]
    await asyncio.sleep(0)


async def _close_sockets(serving: Serving) -> None:
    """Say goodbye to the WebSockets (1001, going away)."""
    sockets = [c.websocket for c in list(serving.connections) if c.websocket is not None]
    if sockets:
        tasks = [asyncio.ensure_future(socket.close(1001)) for socket in sockets]
        await asyncio.wait(tasks, timeout=_GOODBYE_S)


async def _wait_for_turns(services: Services, most_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + most_s
    while services.turns.in_progress and loop.time() < deadline:
        await asyncio.sleep(_POLL_S)


@dataclass(slots=True)
class _End:
    """What ends the process: a signal, an engine that cannot go on, or what watches."""

    exit_code: int = 0
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def on_signal(self, number: int) -> None:
        if self.event.is_set():
            os._exit(128 + number)
        logger.info("received %s", signal.Signals(number).name)
        self.event.set()

    async def after(self, watch: Awaitable[int]) -> None:
        """End once ``watch`` has."""
        self.exit_code = await watch
        self.event.set()

    def on_fatal(self, error: BaseException) -> None:
        logger.critical("the engine cannot go on: %s", error)
        self.exit_code = 1
        self.event.set()
