"""What the guard costs with the tools that clients really declare.

Run with ``python -m tests.benchmarks.guard_tools``. Codex and Claude Code are run, where
``tests.clients.install`` has them, and the tools of their own requests taken; those of MCP servers
lie in ``tests/support/harmony/real_tools.json``. For each set it is shown:

- ``first``: compiling the set's grammar; ``again``: finding it, as every later request does;
- ``rule``: what may come next, a token at a time, in calls with made-up arguments;
- how much memory the grammar and then the calls took, and which tools take any object.

Times are the thread's own. ``clock`` is the longest of ``rule`` by the clock among those in which
the thread was never put aside, and how often it was: another process's time slices, 4 to 8 ms each,
are no cost of the guard's.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlxoss.cli.connect.facts import Served
from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import Forced, Free, GrammarMatcher, Rule
from mlxoss.harmony.grammar.tokenizer import make_guard_tokenizer
from tests.clients import install
from tests.clients.conftest import run_client
from tests.support.clients.capture import Tools, declared_tools
from tests.support.clients.codex import write_settings
from tests.support.harmony.real_tools import (
    CODEX,
    COMMON,
    arguments,
    real_tools,
    to_rules,
    together,
)
from tests.support.harmony.walks import to_ids

MODEL = "mlxoss-demo"
PLAIN = {
    f"tool_{number}": {
        "type": "object",
        "properties": {f"argument_{index}": {"type": "string"} for index in range(4)},
        "required": ["argument_0"],
    }
    for number in range(100)
}
THOUGHT = "<|channel|>analysis<|message|>I need a tool for that.<|end|><|start|>assistant"


@dataclass
class Timed:
    """Seconds of each ``rule``: of the thread, and by the clock where nothing came between."""

    own: list[float] = field(default_factory=list)
    undisturbed: list[float] = field(default_factory=list)
    others: int = 0

    def rule(self, matcher: GrammarMatcher) -> Rule:
        switches = _switches()
        clock, own = time.perf_counter(), time.thread_time()
        rule = matcher.rule()
        own, clock = time.thread_time() - own, time.perf_counter() - clock
        self.own.append(own)
        if _switches() == switches:
            self.undisturbed.append(clock)
        else:
            self.others += 1
        return rule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="calls in each set, at least")
    parser.add_argument("--each", action="store_true", help="every server by itself too")
    options = parser.parse_args()
    encoding = load_encoding()
    guards = GrammarCompiler(lambda: make_guard_tokenizer(encoding))
    guards.load()
    noted = _noted()
    for name, tools in _sets(each=options.each):
        report(name, tools, guards, encoding, options.calls)
        for line in noted:
            print(f"    {line}")
        noted.clear()


def _sets(*, each: bool) -> Iterator[tuple[str, Tools]]:
    yield "plain", PLAIN
    sources = real_tools()
    for client, run in (("codex", _run_codex), ("claude", _run_claude)):
        try:
            place = install.find(client)
        except install.Absent as why:
            print(f"{client} is left out: {why}")
            continue
        yield client, declared_tools(lambda url, run=run, place=place: run(place, url))  # type: ignore[misc]
    servers = {package: source for package, source in sources.items() if package != CODEX}
    yield "common MCP", together({package: servers[package] for package in COMMON})
    yield "all MCP", together(servers)
    if each:
        for package, source in servers.items():
            yield package, source.tools


def _run_codex(place: Path, url: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "codex/config.toml")
        write_settings(file, Served(url, MODEL, needs_key=False))
        text = file.read_text()
        file.write_text(f"{text}\n[features]\nmulti_agent_v2 = true\n")
        command = [place / "node_modules/.bin/codex", "exec", "--skip-git-repo-check", "Hello!"]
        run_client(command, Path(home), CODEX_HOME=str(file.parent))


def _run_claude(place: Path, url: str) -> None:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "ANTHROPIC_MODEL": MODEL}
    access = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_AUTH_TOKEN": "none"}
    with tempfile.TemporaryDirectory() as home:
        command = [place / "node_modules/.bin/claude", "-p", "Hello!"]
        run_client(command, Path(home), **quiet, **access)


def report(
    name: str, tools: Tools, guards: GrammarCompiler, encoding: Encoding, calls: int
) -> None:
    """Compile the grammar of ``tools``, walk it, and print what that took."""
    rules, before = to_rules(tools), _resident()
    began = time.thread_time()
    grammar = guards.compile(rules)
    first = time.thread_time()
    guards.compile(rules)
    again, compiled = time.thread_time(), _resident()
    timed, dice, left = Timed(), random.Random(1), 0
    for number in range(max(calls, 2 * len(tools))):
        tool, schema = list(tools.items())[number % len(tools)]
        text = json.dumps(arguments(schema, dice), ensure_ascii=False)
        left += not _walk(grammar.make_matcher(), encoding, (tool, text), timed)
    p50, p99, p999, most = (_at(timed.own, share) * 1e6 for share in (0.5, 0.99, 0.999, 1))
    print(
        f"{name}: {len(tools)} tools of {len(json.dumps(list(tools.values()))) // 1000} kB; "
        f"first {(first - began) * 1e3:.0f} ms, again {(again - first) * 1e3:.1f} ms; "
        f"rule p50 {p50:.0f}, p99 {p99:.0f}, p99.9 {p999:.0f}, most {most:.0f} µs of "
        f"{len(timed.own)}; clock {_at(timed.undisturbed, 1) * 1e6:.0f} µs, "
        f"{timed.others} times put aside; memory {compiled - before:.0f} and "
        f"{_resident() - compiled:.0f} MiB; {left} calls were no longer as made up",
        flush=True,
    )


def _walk(matcher: GrammarMatcher, encoding: Encoding, call: tuple[str, str], timed: Timed) -> bool:
    """Follow a turn with one call, as a model would write it; whether that was possible."""
    name, text = call
    header = f"{THOUGHT}<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    for rest in (to_ids(encoding, header), encoding.encode_text(text)):
        while rest:
            followed = _step(matcher, encoding, rest, timed)
            if followed is None:
                return False
            rest = followed
    return True


def _step(
    matcher: GrammarMatcher, encoding: Encoding, ids: Sequence[int], timed: Timed
) -> list[int] | None:
    """Take the first of ``ids``, or what is forced in their place; returns those left."""
    rule = timed.rule(matcher)
    if isinstance(rule, Forced):
        matcher.take(rule.ids)
        count = len(rule.ids)
        if list(ids[:count]) == list(rule.ids):
            return list(ids[count:])
        # The same text in other tokens.
        wanted, said = encoding.decode(ids), encoding.decode(rule.ids)
        return to_ids(encoding, wanted[len(said) :]) if wanted.startswith(said) else None
    if not isinstance(rule, Free) and not rule.allowed[ids[0]]:
        return None
    matcher.take(ids[:1])
    return list(ids[1:])


def _at(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _switches() -> int:
    """How often this thread was put aside, or waited."""
    used = resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF))
    return used.ru_nivcsw + used.ru_nvcsw


def _resident() -> float:
    """MiB of this process now; 0 where Linux's files are missing."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    return 0.0


def _noted() -> list[str]:
    """What the guard logs from now on."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.getLogger("mlxoss.harmony")
    logger.setLevel(logging.INFO)
    logger.addHandler(Keep())
    return lines


if __name__ == "__main__":
    main()
