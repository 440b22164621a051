"""Why a host could not be asked, and what to do about it, from how ssh ended."""

from __future__ import annotations

from dataclasses import dataclass

from mlxoss.hosts import Host

_SSH_FAILED = 255
_MOST_SHOWN = 160
# What OpenSSH's client says, and the remedy for it. The first that matches counts.
_SSH: tuple[tuple[str, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "If that host was set up anew, forget its old key: ssh-keygen -R {name}",
    ),
    ("Host key verification failed", "Look at its key once and accept it: ssh {ssh} exit"),
    ("Permission denied", "Let a key without a passphrase in: ssh-copy-id {ssh}"),
    ("Too many authentication failures", "Name the key for it (IdentityFile) in ~/.ssh/config."),
    ("Could not resolve hostname", "Correct {where}.ssh, or name the host in ~/.ssh/config."),
    (
        "Connection refused",
        "Switch on Remote Login there: System Settings > General > Sharing, or "
        "sudo systemsetup -setremotelogin on",
    ),
    ("timed out", "See whether it is on, awake and in this network: ping {name}"),
    ("No route to host", "See whether it is on, awake and in this network: ping {name}"),
    ("Network is unreachable", "See whether this machine has a network: ping {name}"),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, as a part of a sentence, and the remedy."""

    detail: str
    remedy: str


def explain(host: Host, python: str, code: int, said: str) -> Trouble:
    """Tell from an exit status and what was said on stderr why there was no answer."""
    names = {"ssh": host.ssh, "name": _bare(host.ssh), "where": f"hosts[{host.rank}]"}
    if code == _SSH_FAILED and not host.is_local:
        for words, remedy in _SSH:
            if words in said:
                return Trouble(f"ssh: {_shown(said, words)}", remedy.format(**names))
        return Trouble(f"ssh: {_shown(said)}", f"See what it says: ssh -v {host.ssh} exit")
    version = host.to_command(f"{python} -m mlxoss --version")
    if code in (126, 127):
        remedy = (
            "Install mlxoss there as it is here, so that the path is the same; where it is now: "
            f"{host.to_command('command -v mlxoss')}"
        )
        return Trouble(f"there is no {python} to run", remedy)
    if "No module named" in said:
        command = host.to_command(f"{python} -m pip install mlxoss")
        remedy = f"Install it there as it is here: {command}"
        return Trouble(f"{python} has no mlxoss: {_shown(said)}", remedy)
    if "No such command" in said:
        return Trouble("its mlxoss is too old to be asked", f"Bring both to one version: {version}")
    return Trouble(f"mlxoss ended with exit status {code}: {_shown(said)}", f"Try: {version}")


def _bare(ssh: str) -> str:
    """The host's name in a destination."""
    name = ssh.removeprefix("ssh://").rpartition("@")[2].rstrip("/")
    return name.partition(":")[0] if ssh.startswith("ssh://") else name


def _shown(said: str, words: str = "") -> str:
    """The line with these words, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    line = next((line for line in lines if words in line), "") if words else ""
    line = (line or (lines[-1] if lines else "it said nothing")).strip("@ ").removeprefix("ssh: ")
    text = "".join(c if c.isprintable() else "?" for c in line)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
