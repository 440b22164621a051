"""``/metrics`` and ``/mlxoss/requests``: figures of real turns, and no words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.request_log import MOST_RECORDS
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, ask_chat, send_chat, set_at_last
from tests.support.server.scripts import HELLO, always, endless, final
from tests.support.waiting import until

CHAT = "POST /v1/chat/completions"
MISSING_CHANNEL = "<|message|>Hello there.<|return|>"


def read(server: Server) -> dict[str, float]:
    """Each sample as Prometheus's own parser reads it, by its name and labels."""
    answer = ask(server, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return dict(samples(answer.body.decode()))


def samples(text: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("mlxoss_")
        assert family.documentation
        for sample in family.samples:
            yield " ".join([sample.name, *sample.labels.values()]), sample.value


def requests(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(server, "GET", "/mlxoss/requests").json["data"]
    return found


def test_turns_are_counted(serve: Serve) -> None:
    server = serve(HELLO)
    usages = [ask_chat(server).json["usage"] for _ in range(3)]
    assert ask_chat(server, stream=True).status == 200
    assert ask_chat(server, temperature=9).status == 400
    until(lambda: len(requests(server)) == 5)
    found = read(server)
    assert found[f"mlxoss_requests_total {CHAT} 200"] == 4
    assert found[f"mlxoss_requests_total {CHAT} 400"] == 1
    for name in ("prompt_tokens", "completion_tokens"):
        assert found[f"mlxoss_{name}_total"] == 4 * usages[0][name]
    assert found["mlxoss_cached_tokens_total"] == 0
    reasoning = usages[0]["completion_tokens_details"]["reasoning_tokens"]
    assert found["mlxoss_reasoning_tokens_total"] == 4 * reasoning > 0
    assert found[f"mlxoss_request_duration_seconds_count {CHAT}"] == 5
    told = requests(server)[1:]
    for name, field in (
        ("queue_wait_seconds", "wait_s"),
        ("time_to_first_token_seconds", "ttft_s"),
        ("turn_decode_tokens_per_second", "decode_tokens_per_s"),
    ):
        assert found[f"mlxoss_{name}_count"] == 4
        assert found[f"mlxoss_{name}_bucket +Inf"] == 4
        total = sum(each[field] for each in told)
        assert found[f"mlxoss_{name}_sum"] == pytest.approx(total, abs=0.01)
    assert found["mlxoss_turn_prefill_tokens_per_second_count"] == 4
    assert found["mlxoss_turn_prefill_tokens_per_second_sum"] > 0


def test_what_is_so_at_the_moment(serve: Serve, encoding: Encoding) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    backend.gate.clear()
    server = serve(backend, config=Config(date=DATE, max_batch=1, max_queue=1))
    with set_at_last(backend.gate), server.connect() as first, server.connect() as second:
        for count, connection in enumerate((first, second), 1):
            send_chat(connection)
            until(lambda count=count: count == taken(server))  # type: ignore[misc]
        assert ask_chat(server).status == 429
        found = read(server)
        assert found["mlxoss_running_requests"] == 1
        assert found["mlxoss_queued_requests"] == 1
        assert found["mlxoss_oldest_wait_seconds"] > 0
        assert found["mlxoss_refused_requests_total"] == 1
        assert found["mlxoss_status ok"] == 1
        assert sum(value for name, value in found.items() if "mlxoss_status " in name) == 1
        assert found["mlxoss_memory_process_bytes"] > 1_000_000
        assert found["mlxoss_problems"] == 0
        assert found[f"mlxoss_requests_total {CHAT} 429"] == 1
        backend.gate.set()
        until(lambda: len(requests(server)) == 3)
    found = read(server)
    assert found["mlxoss_running_requests"] == found["mlxoss_queued_requests"] == 0
    assert found["mlxoss_queue_wait_seconds_sum"] > 0


def taken(server: Server) -> int:
    health = ask(server, "GET", "/health").json
    return int(health["active_requests"] + health["queued_requests"])


def test_the_store_and_what_was_put_right(serve: Serve) -> None:
    server = serve(MISSING_CHANNEL)
    body = json.dumps({"model": "m", "input": "Hello!"}).encode()
    assert ask(server, "POST", "/v1/responses", body).status == 200
    told = ask(server, "GET", "/health").json
    assert told["harmony_recoveries"]
    until(lambda: read(server).get("mlxoss_store_responses") == 1)
    found = read(server)
    assert found["mlxoss_store_bytes"] > 0
    for kind, count in told["harmony_recoveries"].items():
        assert found[f"mlxoss_harmony_recoveries_total {kind}"] == count


def test_a_turn_in_the_background_is_counted_as_one(serve: Serve) -> None:
    server = serve(HELLO)
    body = json.dumps({"model": "m", "input": "Hello!", "background": True}).encode()
    assert ask(server, "POST", "/v1/responses", body).status == 200
    until(lambda: len(requests(server)) == 2)
    found = read(server)
    assert found["mlxoss_requests_total POST /v1/responses 200"] == 1
    assert found["mlxoss_requests_total POST /v1/responses background 200"] == 1
    assert found["mlxoss_time_to_first_token_seconds_count"] == 1


def test_a_client_that_left_and_what_broke_midway(
    serve: Serve, encoding: Encoding, logged_errors: object
) -> None:
    server = serve(endless(encoding))
    with server.connect() as connection:
        send_chat(connection, stream=True)
        connection.recv(1)
    until(lambda: len(requests(server)) == 1)
    assert requests(server)[0]["status"] == 499
    broken = ScriptedBackend(always(encoding, HELLO), step_errors=[])
    server = serve(broken)
    broken.token_errors[(200006, 5)] = RuntimeError("it broke")
    assert ask_chat(server, stream=True).status == 200
    (told,) = requests(server)
    assert told["status"] == 500
    assert told["completion_tokens"] > 0
    assert read(server)[f"mlxoss_requests_total {CHAT} 500"] == 1


def test_the_last_requests_are_told_without_words(serve: Serve) -> None:
    server = serve(final("secret answer"))
    for _ in range(MOST_RECORDS):
        ask_chat(server, temperature=9)
    ask_chat(server, messages=[{"role": "user", "content": "secret question"}])
    until(lambda: requests(server)[0]["status"] == 200)
    newest, *others = requests(server)
    assert len(others) == MOST_RECORDS - 1
    assert newest["endpoint"] == CHAT
    assert newest["completion_tokens"] == 6
    assert newest["total_s"] >= newest["ttft_s"] >= newest["wait_s"] >= 0
    assert {each["status"] for each in others} == {400}
    assert all("temperature" in each["error"] for each in others)
    assert b"secret" not in ask(server, "GET", "/mlxoss/requests").body
    assert b"secret" not in ask(server, "GET", "/metrics").body


def test_they_need_a_key_and_the_page_s_files_do_not(serve: Serve, tmp_path: Path) -> None:
    server = serve(HELLO, folder=tmp_path)
    token = create_key(tmp_path, "laptop", 0)
    for path in ("/metrics", "/mlxoss/requests", "/mlxoss/usage"):
        assert ask(server, "GET", path).status == 401
        known = {"authorization": f"Bearer {token}"}
        assert ask(server, "GET", path, headers=known).status == 200
    for path in (
        "/",
        "/mlxoss/page.css",
        "/mlxoss/page.js",
        "/mlxoss/chat.js",
        "/mlxoss/calls.js",
        "/mlxoss/parts.js",
    ):
        answer = ask(server, "GET", path)
        assert answer.status == 200, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert ask(server, "HEAD", path).body == b""
        for refused in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert ask(server, "GET", path, headers=refused).status == 403


def test_slashes_behind_a_path_make_no_new_endpoint(serve: Serve) -> None:
    server = serve(HELLO)
    headers = {"content-type": "application/json"}
    for slashes in ("", "/", "//"):
        path = f"/v1/chat/completions{slashes}"
        assert ask(server, "POST", path, b"{}", headers).status == 400
    until(lambda: len(requests(server)) == 3)
    assert {each["endpoint"] for each in requests(server)} == {CHAT}
    counts = {name for name in read(server) if name.startswith("mlxoss_requests_total")}
    assert counts == {f"mlxoss_requests_total {CHAT} 400"}


def test_one_token_has_no_rate(serve: Serve) -> None:
    server = serve(HELLO)
    assert ask_chat(server, max_tokens=1).status == 200
    until(lambda: len(requests(server)) == 1)
    assert "decode_tokens_per_s" not in requests(server)[0]
    found = read(server)
    assert found["mlxoss_time_to_first_token_seconds_count"] == 1
    assert found["mlxoss_turn_decode_tokens_per_second_count"] == 0


def test_two_servers_count_apart(serve: Serve) -> None:
    first, second = serve(HELLO), serve(HELLO)
    ask_chat(first)
    until(lambda: len(requests(first)) == 1)
    assert f"mlxoss_requests_total {CHAT} 200" in read(first)
    assert f"mlxoss_requests_total {CHAT} 200" not in read(second)


def test_a_server_listens_before_it_imports_what_counts() -> None:
    """The client library takes longer to import than half of the server."""
    script = "import sys, mlxoss.server.app; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0
