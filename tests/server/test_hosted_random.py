"""Many requests with tools, taken back at any moment: nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import sys
import threading
from typing import Any

import openai

from mlxoss.config import Config
from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE
from tests.support.server.rounds import CODE, SEARCH, WEATHER, add, browse, python, sums, weather
from tests.support.server.scripts import final, to_ids
from tests.support.server.tools import Scripted
from tests.support.waiting import HANG_S, until

TOOLS: Any = [CODE, SEARCH, sums(), WEATHER]
CLIENTS = 6
REQUESTS = 12


def test_whatever_is_taken_back_nothing_of_it_stays(serve: Serve, encoding: Encoding) -> None:
    rng = random.Random(seed := secrets.randbits(32))
    sys.stdout.write(f"seed {seed}\n")
    texts = [python("1"), browse("search", query="a"), add(1, 2), weather(), final("Done.")]
    turns = [to_ids(encoding, text) for text in texts]

    def script(request: GenerationRequest) -> list[int]:
        return rng.choice(turns)

    backend = ScriptedBackend(script, step_s=0.0002, held_tokens=4000)
    tools = Scripted()
    config = Config(date=DATE, max_batch=2, max_queue=3)
    server = serve(backend, config=config, tools=tools.tools)

    def work(own: random.Random) -> None:
        client = server.client()
        for _ in range(REQUESTS):
            tools.python.calls.hangs = own.random() < 0.3
            with contextlib.suppress(openai.RateLimitError, openai.APITimeoutError):
                _one(client, own)

    threads = [
        threading.Thread(target=work, args=(random.Random(n + seed),)) for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tools.python.calls.hangs = False
        threads[0].join(0.05)
    for thread in threads:
        thread.join()
    turns_ = server.services.turns
    until(lambda: turns_.in_progress == 0)
    status = turns_.engine.status()
    assert (status.active, status.waiting, status.paused) == (0, 0, 0)
    assert tools.python.calls.running == tools.mcp.calls.running == 0
    assert ask(server, "GET", "/mlxoss/requests").json["running"] == []

    async def hold_all() -> None:
        places = [turns_.engine.hold() for _ in range(config.max_batch + config.max_queue)]
        for place in places:
            place.give_back()

    asyncio.run_coroutine_threadsafe(hold_all(), server.loop).result(HANG_S)


def _one(client: openai.OpenAI, rng: random.Random) -> None:
    asked: Any = {
        "model": "any",
        "input": "Hi",
        "tools": TOOLS,
        "store": rng.random() < 0.5,
        "max_output_tokens": rng.choice([None, 40, 200]),
    }
    match rng.randrange(4):
        case 0:
            response = client.responses.create(**asked)
            assert response.status in ("completed", "incomplete")
        case 1:
            ends_at = rng.randrange(60)
            with client.responses.create(**asked, stream=True) as stream:
                for number, _ in enumerate(stream):
                    if number == ends_at:
                        break
        case 2:
            client.with_options(timeout=rng.random() / 10).responses.create(**asked)
        case 3:
            background = client.responses.create(**asked | {"store": True}, background=True)
            threading.Event().wait(rng.random() / 20)
            try:
                assert client.responses.cancel(background.id).status == "cancelled"
            except openai.BadRequestError:  # it ended before
                ended = client.responses.retrieve(background.id).status
                assert ended in ("completed", "incomplete")
