"""Ports that another program has, by the rules of Linux and of macOS (``tests.support.xnu``)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from mlxoss.findings import Level
from mlxoss.service.checks import check_port
from mlxoss.service.health import probe
from mlxoss.sockets import bind, find_holder, port_problem, port_taken
from tests.support import xnu

HAS_IPV6 = port_problem("::1", 0) is None
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
EVERYWHERE = pytest.param("::", marks=needs_ipv6), "0.0.0.0"


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="the stand-in needs Linux")


@pytest.fixture(params=["own", pytest.param("xnu", marks=needs_proc)])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "xnu":
        monkeypatch.setattr(socket.socket, "bind", xnu.bind)
    return str(request.param)


@contextmanager
def listening(host: str, backlog: int = 8, *, port: int = 0) -> Iterator[int]:
    """Another program's socket, which takes connections and says nothing; its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        if family == socket.AF_INET6 and host == "::":
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, port))
        other.listen(backlog)
        yield other.getsockname()[1]


@needs_proc
def test_the_stand_in_has_the_rules_of_xnu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", xnu.bind)
    with listening("0.0.0.0") as port:
        with pytest.raises(OSError, match="in use"), listening("0.0.0.0", port=port):
            pass
        with listening("127.0.0.1", port=port):  # beside it, and gets what comes for it
            pass
        with socket.socket() as plain, pytest.raises(OSError, match="in use"):
            plain.bind(("127.0.0.1", port))


@pytest.mark.parametrize("held", EVERYWHERE)
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "0.0.0.0", pytest.param("127.0.0.2", marks=needs_proc)]
)
def test_a_port_that_somebody_has_on_every_address_is_taken(
    kernel: str, held: str, host: str
) -> None:
    with listening(held) as port:
        where = "127.0.0.1" if host in ("localhost", "0.0.0.0") else host
        assert port_problem(host, port) == f"port {port} on {where} is in use"
        with pytest.raises(OSError, match="in use") as caught:
            bind(host, port)
        assert caught.value.filename == where


@needs_ipv6
def test_whoever_takes_every_address_asks_for_those_of_localhost(kernel: str) -> None:
    with listening("127.0.0.1") as port:
        assert port_problem("0.0.0.0", port) == f"port {port} on 127.0.0.1 is in use"
        assert port_problem("::", port) == f"port {port} on 127.0.0.1 is in use"
    with listening("::1") as port:
        assert port_problem("::", port) == f"port {port} on ::1 is in use"
        assert port_problem("127.0.0.1", port) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", ""])
def test_connections_of_the_past_do_not_take_a_port(kernel: str, host: str) -> None:
    """A server that has just ended leaves its side of a connection behind (TIME_WAIT)."""
    with listening("127.0.0.1") as port, ExitStack() as stack:
        other = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    with contextlib.ExitStack() as stack:
        ours = [stack.enter_context(each) for each in bind(host, port)]
        ours[0].listen()
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        accepted = ours[0].accept()[0]
        accepted.close()  # this side first: it is this one that waits
    assert port_problem(host, port) is None
    other.close()


def test_connections_that_still_drain_do_not_take_a_port(kernel: str) -> None:
    """An old daemon closes its listeners first, and its turns go on."""
    with ExitStack() as stack:
        with listening("127.0.0.1") as port:
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert port_problem("localhost", port) is None


def test_a_listener_whose_queue_is_full_is_there(kernel: str) -> None:
    with listening("0.0.0.0", 0) as port, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        assert port_problem("127.0.0.1", port) == f"port {port} on 127.0.0.1 is in use"


def test_nobody_is_asked_on_another_machine() -> None:
    # 192.0.2.0/24 is for texts (RFC 5737); a connection there would take its time.
    assert "cannot be bound" in (port_problem("192.0.2.1", 8000) or "")


def test_a_connection_that_reaches_itself_has_found_nobody() -> None:
    """A network namespace where the only port to ask from is the one asked for."""
    script = (
        "ip link set lo up && echo '40000 40000' > /proc/sys/net/ipv4/ip_local_port_range && exec "
        f"{sys.executable} -c 'from mlxoss.sockets import port_problem; "
        'print(port_problem("127.0.0.1", 40000))\''
    )
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"]).returncode:
        pytest.skip("no namespaces here")
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", script], capture_output=True, text=True, timeout=120
    )
    if "ip_local_port_range" in done.stderr or "ip:" in done.stderr:
        pytest.skip("its ports cannot be set")
    assert done.stdout == "None\n", done.stderr


needs_lsof = pytest.mark.skipif(shutil.which("lsof") is None, reason="there is no lsof here")


@needs_lsof
def test_who_has_the_port_is_said(kernel: str) -> None:
    with listening("0.0.0.0") as port:
        assert re.fullmatch(rf"\S+ \(pid {os.getpid()}\) listens there", find_holder(port) or "")
        said = port_taken("localhost", port) or ""
        assert said.startswith(f"port {port} on 127.0.0.1 is in use; ")
        assert said.endswith(f"(pid {os.getpid()}) listens there")
    assert find_holder(port) is None
    assert port_taken("localhost", port) is None


def test_without_lsof_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/no/such/lsof")
    with listening("127.0.0.1") as port:
        assert port_taken("127.0.0.1", port) == f"port {port} on 127.0.0.1 is in use"


def test_install_and_doctor_find_it_taken(kernel: str) -> None:
    with listening("0.0.0.0") as port:
        found = check_port("localhost", port, probe("localhost", port, timeout_s=0.1), ours=True)
        assert found.level is Level.FAIL
        assert f"port {port} on 127.0.0.1 is in use" in found.detail
        assert "no answer within" in found.detail
