"""Each place that asks which system this is has a test of what it does on both."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.modules import modules

TESTS = Path(__file__).parent
TESTED = {
    "awake": "test_awake.py",
    "cli.bench.ceiling": "cli/test_bench.py",
    "cli.bench.chips": "cli/test_bench.py",
    "cli.bench.share": "test_chip.py",
    "cli.cluster.probe": "cluster/test_probe.py",
    "cli.connect.recipes": "cli/connect/test_listing.py",
    "cli.doctor.checks": "cli/test_examine.py",
    "cli.doctor.system": "cli/test_examine.py",
    "cli.memory": "cli/test_examine.py",
    "cli.this_machine": "service/test_choose.py",
    "cli.tune.candidates": "cli/test_tune_judge.py",
    "daemon.assemble": "engine/test_expectations.py",
    "daemon.power": "test_power.py",
    "documents.pdf": "documents/test_pdf.py",
    "engine.command_buffers": "engine/test_command_buffers.py",
    "engine.ranks.worker": "test_awake.py",
    "engine.wiring": "engine/test_wiring.py",
    "hosted.browser.reading": "documents/test_pdf.py",
    "hosted.python.interpreter": "hosted/python/test_seatbelt.py",
    "hosted.python.limits": "hosted/python/test_systems.py",
    "hosted.python.process": "hosted/python/test_systems.py",
    "hosted.python.use": "hosted/python/test_systems.py",
    "hosted.python.worker.confine": "hosted/python/test_systems.py",
    "hosted.python.worker.proof": "hosted/python/test_systems.py",
    "paths": "test_paths.py",
    "system.chip": "test_chip.py",
    "system.memory": "test_system_memory.py",
    "turns.context": "test_awake.py",
}
"""Modules that take the system, or what differs between systems, as a value; and the test."""

OF_ONE_SYSTEM = {
    "engine.capacity": "sysctl(3) is macOS's",
    "engine.mlx.memory": "malloc_trim is glibc's",
    "hosted.python.folder": "chflags(2) is BSD's",
}
"""Modules that have nothing to decide on the other one."""

_ASKS = {
    ("sys", "platform"),
    ("platform", "system"),
    ("platform", "mac_ver"),
    ("os", "uname"),
}


def asks(tree: ast.Module) -> bool:
    """Whether a module looks at the system's name, or for Linux's files."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in _ASKS:
                return True
            case ast.Constant(value=str(text)) if text.startswith("/proc/"):
                return True
    return False


def test_no_module_asks_for_the_system_without_a_test_of_both() -> None:
    found = {name.removeprefix("mlxoss.") for name, tree in modules().items() if asks(tree)}
    assert "cli.this_machine" in found
    assert found - TESTED.keys() - OF_ONE_SYSTEM.keys() == set()


def test_the_tests_are_there() -> None:
    there = {name.removeprefix("mlxoss.") for name in modules()}
    missing = {name for name in TESTED.keys() & there if not (TESTS / TESTED[name]).exists()}
    assert missing == set()


def test_the_check_sees_a_branch() -> None:
    for source in ("import sys\nif sys.platform == 'linux': pass", "open('/proc/self/statm')"):
        assert asks(ast.parse(source))
    assert not asks(ast.parse("import sys\nsys.exit()"))
