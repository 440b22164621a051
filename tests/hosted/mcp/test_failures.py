"""For how long, and of how many servers, it is remembered that a list failed."""

from __future__ import annotations

from mlxoss.hosted.mcp.failures import MOST, Failures
from mlxoss.hosted.mcp.server import AddressServer
from mlxoss.outcomes import McpFailure


def at(port: int, key: str = "") -> AddressServer:
    headers = (("Authorization", key),) if key else ()
    return AddressServer("one", f"http://localhost:{port}/", headers, is_public_only=True)


def test_it_ends_by_the_clock_and_with_the_number() -> None:
    now = [0.0]
    failures, gone = Failures(30.0, lambda: now[0]), McpFailure("http_error", "Gone.", 502)
    failures.add(at(1), gone)
    assert failures.get(at(1)) == gone
    assert failures.get(at(1, "other credentials")) is None
    now[0] = 30.0
    assert failures.get(at(1)) is None
    for port in range(MOST + 1):
        failures.add(at(port), gone)
    assert failures.get(at(0)) is None
    assert failures.get(at(1)) == failures.get(at(MOST)) == gone
    failures.add(at(1), gone)
    failures.add(at(MOST + 1), gone)
    assert (failures.get(at(1)), failures.get(at(2))) == (gone, None)
