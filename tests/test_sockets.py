"""Addresses taken for real, and what is said of those that are not to be had."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from mlxoss.errors import ConfigError
from mlxoss.sockets import bind, bind_unix, port_problem


def bound(host: str, port: int = 0) -> list[tuple[str, int]]:
    """Where ``bind`` binds."""
    with ExitStack() as stack:
        found = [stack.enter_context(each) for each in bind(host, port)]
        return [each.getsockname()[:2] for each in found]


needs_ipv6 = pytest.mark.skipif(
    port_problem("::1", 0) is not None, reason="this machine has no IPv6"
)


@needs_ipv6
def test_localhost_is_both_addresses_on_one_port() -> None:
    for _ in range(50):
        (first, one), (second, other) = bound("localhost")
        assert (first, second) == ("127.0.0.1", "::1")
        assert one == other
    assert bound("localhost", one) == [("127.0.0.1", one), ("::1", one)]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])
def test_any_other_host_is_itself_alone(host: str) -> None:
    if host == "127.0.0.2" and port_problem(host, 0) is not None:
        pytest.skip("this machine's loopback has one address")
    assert [address for address, _ in bound(host)] == [host]


@needs_ipv6
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_half_of_localhost_is_none(taken: str) -> None:
    with bind(taken, 0)[0] as other:
        other.listen()
        port = other.getsockname()[1]
        problem = port_problem("localhost", port)
        assert problem is not None
        assert f"port {port} on {taken} is in use" in problem
        assert ("host = 127.0.0.1" in problem) is (taken == "::1")
        with pytest.raises(OSError, match="in use") as caught:
            bind("localhost", port)
        assert caught.value.filename == taken
        # What was taken of it was given back.
        free = "127.0.0.1" if taken == "::1" else "::1"
        assert port_problem(free, port) is None


def test_a_machine_without_ipv6() -> None:
    """A network namespace whose loopback has IPv4 alone."""
    script = (
        "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && ip link set lo up && exec "
        f"{sys.executable} -c 'from tests.test_sockets import bound; "
        'print(bound("localhost"))\''
    )
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"]).returncode:
        pytest.skip("no namespaces here")
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", script], capture_output=True, text=True, timeout=120
    )
    if "disable_ipv6" in done.stderr:
        pytest.skip("its IPv6 cannot be switched off")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[('127.0.0.1', ")
    assert "::1" not in done.stdout


def test_a_unix_socket_is_its_owners_alone(short_path: Path) -> None:
    path = short_path / "socket"
    before = os.umask(0)
    try:
        with bind_unix(path):
            mode = path.lstat().st_mode
            assert (stat.S_ISSOCK(mode), mode & 0o777) == (True, 0o600)
            assert os.umask(0) == 0
    finally:
        os.umask(before)
    with bind_unix(path):  # nobody listens there any more
        pass


def _file(path: Path) -> None:
    path.write_text("a letter")


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.symlink_to("elsewhere")


def _open_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def _no_folder(path: Path) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_file, "no socket"),
        (_folder, "no socket"),
        (_link, "no socket"),
        (_open_folder, "chmod go-w"),
        (_no_folder, "No such file"),
    ],
)
def test_a_unix_socket_where_it_should_not_be(
    short_path: Path, prepare: Callable[[Path], None], words: str
) -> None:
    path = short_path / "folder" / "socket"
    path.parent.mkdir(mode=0o700)
    prepare(path)
    there = path.is_symlink() or path.exists()
    with pytest.raises(ConfigError, match=words):
        bind_unix(path)
    assert (path.is_symlink() or path.exists()) is there


def test_a_unix_socket_that_somebody_listens_on(short_path: Path) -> None:
    path = short_path / "socket"
    with bind_unix(path) as first:
        first.listen()
        with pytest.raises(ConfigError, match="another program listens"):
            bind_unix(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_unix_sockets_path_has_a_length(short_path: Path) -> None:
    with pytest.raises(ConfigError, match="103 bytes"):
        bind_unix(short_path / ("s" * 104))
    bind_unix(short_path / ("s" * (103 - len(str(short_path)) - 1))).close()
