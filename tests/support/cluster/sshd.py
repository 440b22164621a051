"""Hosts that ssh reaches: each an ``sshd`` on loopback with keys and settings of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.service.box import free_port
from tests.support.waiting import until

_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
SSHD = shutil.which("sshd", path=_SBIN)
_PRIVSEP = Path("/run/sshd")


def missing() -> str | None:
    """Why no sshd can be started here."""
    if SSHD is None:
        return "there is no sshd (Debian: openssh-server)"
    if sys.platform == "linux" and os.getuid() == 0 and not _PRIVSEP.is_dir():
        return f"sshd run by root wants the folder {_PRIVSEP}"
    return None


class Network:
    """Hosts by name, and an ``ssh`` that knows them and nothing of the user's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = self._make_key("id")
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._config = folder / "ssh_config"
        self._config.touch()
        self._servers: list[subprocess.Popen[bytes]] = []
        self.script("ssh", f'exec {shutil.which("ssh")} -F {self._config} "$@"')

    @property
    def path(self) -> str:
        """The search path on which this network's ``ssh`` comes first."""
        return f"{self.bin}:{os.environ['PATH']}"

    def script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def know(self, name: str, **options: object) -> None:
        """Have ``ssh`` reach ``name`` with these options over the usual ones."""
        usual = {
            "HostName": "127.0.0.1",
            "User": getpass.getuser(),
            "IdentityFile": self.key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
        }
        with self._config.open("a") as file:
            file.write(f"Host {name}\n")
            file.writelines(f"  {key} {value}\n" for key, value in (usual | options).items())

    def serve(self, name: str, env: Mapping[str, object] | None = None, force: str = "") -> int:
        """Start the host ``name`` with ``env`` for what runs there; return its port.

        ``force`` runs instead of each command, which it finds in ``SSH_ORIGINAL_COMMAND``.
        """
        port, host_key = free_port(), self._make_key(f"host-{name}")
        config = self.folder / f"sshd-{name}"
        settings = [
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {host_key}",
            f"AuthorizedKeysFile {self.key}.pub",
            "PidFile none",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            *([f"ForceCommand {force}"] if force else []),
            *([f"SetEnv {' '.join(f'{k}={v}' for k, v in env.items())}"] if env else []),
        ]
        config.write_text("\n".join(settings) + "\n")
        assert SSHD is not None
        log = self.folder / f"log-{name}"
        command = [SSHD, "-D", "-f", str(config), "-E", str(log)]
        self._servers.append(subprocess.Popen(command))
        until(lambda: _answers(port))
        with (self.folder / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
        self.know(name, Port=port)
        return port

    def close(self) -> None:
        for server in self._servers:
            server.terminate()
            server.wait()

    def _make_key(self, name: str) -> Path:
        path = self.folder / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            return probe.recv(4) == b"SSH-"
    except OSError:
        return False
