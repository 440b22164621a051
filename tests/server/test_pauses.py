"""Chats without ``max_tokens`` side by side, and what clients and ``/health`` see of pauses."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.server.conftest import Serve
from tests.server.test_metrics import read
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import WatchedModel
from tests.support.engine.leaning import Leaning
from tests.support.engine.pausing import with_places
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import MODEL, Server, running, set_at_last
from tests.support.server.scripts import always, final
from tests.support.waiting import until


def chat(server: Server, text: str) -> str | None:
    answer = server.client(timeout=300.0).chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}], temperature=0
    )
    return answer.choices[0].message.content


def chat_together(server: Server, texts: list[str]) -> list[str | None]:
    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(lambda text: chat(server, text), texts))


def test_four_chats_run_together_in_a_room_for_63_000(
    tmp_path: Path, encoding: Encoding, guards: GrammarCompiler
) -> None:
    write_checkpoint(tmp_path, TinyModel(hidden=16))
    room = dataclasses.replace(with_places(63_000), soon_tokens=512)
    start = threading.Event()
    rows: list[int] = []

    def load() -> Backend:
        start.wait()
        model = WatchedModel(Leaning(load_folder(tmp_path)), lambda n, tokens: rows.append(n))
        return MlxBackend(model, room=room)

    model = dataclasses.replace(MODEL, context_tokens=131_072)
    texts = [f"Question {number}: why?" for number in range(4)]
    with running(load, lambda: encoding, guards=guards, model=model) as server:
        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(chat_together, server, texts)
            until(lambda: server.services.engine.status().waiting == 4)
            start.set()
            together = answers.result()
        assert max(rows) == 4
        assert ask(server, "GET", "/health").json["pauses"] == 0
        rows.clear()
        assert [chat(server, text) for text in texts] == together
        assert max(rows) == 1


def asked_for(server: Server) -> int:
    status = server.services.engine.status()
    return status.active + status.waiting


def test_a_pause_is_seen_by_all_but_the_client(serve: Serve, encoding: Encoding) -> None:
    text = " ".join(f"word{number}" for number in range(100))
    backend = ScriptedBackend(always(encoding, final(text)))
    server = serve(backend)
    assert chat(server, "Hi") == text
    backend.held_tokens = 3 * len(backend.inserted[0].prompt_ids) + 100
    backend.gate.clear()
    with ThreadPoolExecutor(1) as pool, set_at_last(backend.gate):
        answers = pool.submit(chat_together, server, ["Hi"] * 4)
        until(lambda: asked_for(server) == 4)
        backend.gate.set()
        assert answers.result() == [text] * 4
    health = ask(server, "GET", "/health").json
    assert health["pauses"] > 0
    assert (health["active_requests"], health["paused_requests"]) == (0, 0)
    found = read(server)
    assert found["mlxoss_pauses_total"] == health["pauses"]
    assert found["mlxoss_paused_requests"] == 0
