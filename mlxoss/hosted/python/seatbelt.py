"""The sandbox on macOS: a profile for ``/usr/bin/sandbox-exec``, of rules that each say why.

The language is Apple's and described nowhere; its words are those of Chromium's and Codex's
profiles. Whatever no rule allows is denied, networks above all: there is no rule for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SANDBOX_EXEC = "/usr/bin/sandbox-exec"

_SYSCTLS = (
    *("hw.activecpu", "hw.byteorder", "hw.cachelinesize", "hw.cachelinesize_compat"),
    *("hw.cpufamily", "hw.cputype", "hw.logicalcpu", "hw.logicalcpu_max", "hw.machine"),
    *("hw.memsize", "hw.ncpu", "hw.pagesize", "hw.pagesize_compat", "hw.physicalcpu"),
    *("hw.physicalcpu_max", "kern.argmax", "kern.maxfilesperproc", "kern.osproductversion"),
    *("kern.osrelease", "kern.ostype", "kern.osversion", "kern.usrstack64", "kern.version"),
)
_SYSCTL_PREFIXES = ("hw.optional.", "hw.perflevel")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and what it is for."""

    text: str
    reason: str


_NOT_BY_DEFAULT = (
    Rule("(deny sysctl-read)", "other processes' variables (KERN_PROCARGS2)"),
    Rule("(deny process-info*)", "the same by another call"),
    Rule("(deny iokit-get-properties)", "the machine's serial numbers"),
    Rule('(deny mach-lookup (xpc-service-name-prefix ""))', "services that have no name"),
    Rule(
        "(deny system-fcntl (fcntl-command 42 80 110))",
        "F_PREALLOCATE takes the disk unwritten; F_MAKECOMPRESSED and F_TRANSFEREXTENTS change "
        "files that are open for reading alone",
    ),
)
"""What a version 1 profile allows although it denies by default: families of operations that are
younger than that rule. What is needed of them is allowed further down; the last rule counts."""


def make_rules(program: Path, readable: Sequence[Path], own: Path) -> list[Rule]:
    """Those of a process that runs ``program``, reads ``readable`` and writes in ``own``.

    Paths must be real ones: the kernel compares them after all links are followed.
    """
    libraries = "\n".join(_place(path) for path in readable)
    ancestors = _ancestors([*readable, own])
    names = [f"(sysctl-name {_quote(name)})" for name in _SYSCTLS]
    names += [f"(sysctl-name-prefix {_quote(name)})" for name in _SYSCTL_PREFIXES]
    return [
        Rule("(version 1)", "the language"),
        Rule("(deny default)", "what no rule allows is refused: networks, services, devices"),
        Rule("(deny process-fork)", "one process, whatever the system's own rules add"),
        *_NOT_BY_DEFAULT,
        Rule(f"(allow process-exec (literal {_quote(program)}))", "sandbox-exec starts it so"),
        Rule("(allow signal (target self))", "abort() and timers of its own"),
        Rule("(allow process-info* (target self))", "its own use of time and memory"),
        Rule(f"(allow sysctl-read\n{chr(10).join(names)})", "numpy and libc ask for processors"),
        Rule('(allow file-read* (literal "/"))', "the loader opens the root folder"),
        Rule(f"(allow file-read-metadata\n{ancestors})", "paths are walked from the root"),
        Rule(f"(allow file-read*\n{libraries})", "the interpreter, its libraries and packages"),
        Rule(f"(allow file-map-executable\n{libraries})", "extension modules are libraries"),
        Rule(
            '(allow file-read* (literal "/dev/random") (literal "/dev/urandom"))',
            "randomness",
        ),
        Rule(
            '(allow file-read* file-write-data (literal "/dev/null") (literal "/dev/zero"))',
            "where nothing is read from and written to",
        ),
        Rule(
            f"(allow file-read* file-write* (subpath {_quote(own)}))",
            "the container's own folder",
        ),
        Rule(
            f"(deny file-write-unlink (literal {_quote(own)}))",
            "what is in it, not itself: a link in its place would lead the daemon elsewhere",
        ),
        Rule("(deny file-write-create (vnode-type SYMLINK))", "nor would links in it"),
        Rule("(deny file-link)", "nor is there a second name for a file of somebody else's"),
        Rule("(deny file-write-acl)", "its files can be removed"),
    ]


def make_profile(program: Path, readable: Sequence[Path], own: Path) -> str:
    """The profile's text; raises ``ValueError`` for a path that it cannot hold."""
    rules = make_rules(program, readable, own)
    return "\n".join(f"; {rule.reason}\n{rule.text}" for rule in rules) + "\n"


def sandbox_command(profile: str, command: Iterable[str]) -> list[str]:
    """``command`` inside ``profile``."""
    return [SANDBOX_EXEC, "-p", profile, *command]


def _place(path: Path) -> str:
    """A folder with all below it, or one file."""
    return f"({'subpath' if path.is_dir() else 'literal'} {_quote(path)})"


def _ancestors(paths: Sequence[Path]) -> str:
    found = dict.fromkeys(parent for path in paths for parent in path.parents)
    return "\n".join(f"(literal {_quote(path)})" for path in found)


def _quote(text: Path | str) -> str:
    """A string of the profile's language."""
    plain = str(text)
    if not plain.isprintable():
        raise ValueError(f"{plain!r} cannot stand in a sandbox profile")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
