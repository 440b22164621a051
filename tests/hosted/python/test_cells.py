"""Cells run as in a notebook: state, echo, output, tracebacks, files, without any package."""

from __future__ import annotations

import subprocess
import textwrap

import pytest

from mlxoss.hosted.python.container import NO_OUTPUT
from mlxoss.hosted.python.worker.cell import ends_in_semicolon
from tests.hosted.python.conftest import MakeCells
from tests.support.hosted.cells import Cells


def test_the_last_expression_is_shown_and_names_are_kept(cells: Cells) -> None:
    assert cells.say("2**100") == "1267650600228229401496703205376"
    outcome = cells.run("x = 41")
    assert (outcome.text, outcome.logs, outcome.images) == (NO_OUTPUT, "", ())
    assert cells.say("x + 1") == "42"
    assert cells.say("_ * 2") == "84"


def test_containers_know_nothing_of_each_other(cells: Cells) -> None:
    cells.say("x = 1; open('/mnt/data/a', 'w').close()", "cntr_a")
    assert "NameError" in cells.say("x", "cntr_b")
    assert cells.say("import os; os.listdir('/mnt/data')", "cntr_b") == "[]"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        *(("'a'", "'a'"), ("None", ""), ("1;", ""), ("1;  # why\n\n", ""), ("", "")),
        *(("# nothing", ""), ("x = 1", ""), ("print('a')\n3", "a\n3"), ("'a;'", "'a;'")),
        *(("if True:\n    3", ""), ("def f(): return 1\nf()", "1"), ("[\n1,\n2]", "[1, 2]")),
        ("import sys\nprint(1); print(2, file=sys.stderr); print(3)", "1\n2\n3"),
        ("import os\nprint(1)\nos.write(1, b'2\\n')\nprint(3);", "1\n2\n3"),
        ("print('no end', end='')", "no end"),
        ("__name__", "'__main__'"),
        ("input()", "EOFError: EOF when reading a line"),
        ("display(1, 'a')", "1\n'a'"),
    ],
)
def test_what_a_cell_shows(cells: Cells, code: str, shown: str) -> None:
    assert cells.say(code).endswith(shown)
    assert shown or cells.say(code) == ""


@pytest.mark.parametrize(
    ("source", "ends"),
    [
        *(("1;", True), ("1", False), ("';'", False), ("1 # ;", False), ("1; # a", True)),
        *(("f(1\n);\n", True), ("", False), ("(", False)),
    ],
)
def test_a_semicolon_at_the_end_is_found(source: str, ends: bool) -> None:
    assert ends_in_semicolon(source) is ends


def test_a_traceback_has_the_cells_lines_and_none_of_ours(cells: Cells) -> None:
    cells.say("def half(n):\n    return 1 / n\n")
    told = cells.say("half(0)")
    assert told == textwrap.dedent("""\
        Traceback (most recent call last):
          File "<cell 2>", line 1, in <module>
            half(0)
          File "<cell 1>", line 2, in half
            return 1 / n
                   ~~^~~
        ZeroDivisionError: division by zero""")
    assert cells.say("1") == "1"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(:", "SyntaxError"),
        ("return 1", "SyntaxError: 'return' outside function"),
        ("x = '\0'", "null bytes"),
        ("%matplotlib inline", "not known here"),
        ("!pip install x", "not known here"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise ExceptionGroup('a', [ValueError('b')])", "ValueError: b"),
        ("class A:\n    def __repr__(self): return 1 / 0\nA()", "ZeroDivisionError"),
        ("import sys\nsys.stdout.close()\n1/0", "ZeroDivisionError"),
        ("import sys\nsys.stdout = sys.stderr = None\n1/0", "ZeroDivisionError"),
        ("import sys\nsys.displayhook = None\n1/0", "ZeroDivisionError"),
        ("import os\nos.close(1); os.close(2)\n1/0", "ZeroDivisionError"),
        (
            "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\n1/0",
            "ZeroDivisionError",
        ),
        ("import sys\nsys.stdout.detach()\n1/0", "ZeroDivisionError"),
        ("import sys\nsys.stdout = sys.stderr = 7\n1/0", "ZeroDivisionError"),
        (
            "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise OSError('x') from e",
            "direct cause",
        ),
    ],
)
def test_a_failure_is_told_and_the_state_stays(cells: Cells, code: str, told: str) -> None:
    cells.say("kept = 1")
    said = cells.say(code)
    assert told in said
    assert "worker" not in said
    assert "<cell 2>" in said or "line" in said or "not known" in said or "null bytes" in said
    assert cells.say("kept; print(kept)") == "1"


def test_what_is_written_through_another_stream_is_shown(cells: Cells) -> None:
    assert cells.say("import sys; print(1, file=sys.__stdout__); print(2)") == "1\n2"
    wrapped = "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8'); print(1)"
    assert cells.say(wrapped) == "1"
    assert cells.say("print(2)") == "2"
    assert cells.say("import logging; logging.warning('a')") == "WARNING:root:a"
    assert cells.say("logging.warning('b')") == "WARNING:root:b"


def test_threads_and_event_loops_work(cells: Cells) -> None:
    assert cells.say("import asyncio\nasync def f(): return 3\nasyncio.run(f())") == "3"
    assert (
        cells.say("""
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            print(sum(pool.map(int, "1234")))
    """)
        == "10"
    )


def test_what_a_cell_left_running_stands_still_until_the_next(cells: Cells) -> None:
    cells.say("""
        import threading, time
        count = 0
        def on():
            global count
            while True:
                count += 1
                time.sleep(0.001)
        threading.Thread(target=on, daemon=True).start()
    """)
    first = int(cells.say("at = count; print(at)"))
    cells.wait(0.5)
    assert state_of(cells.pid()).startswith("T")
    assert int(cells.say("time.sleep(0.1); print(count)")) > first


def state_of(pid: int) -> str:
    """A process's state as ps(1) tells it: T is stopped."""
    words = ["ps", "-o", "state=", "-p", str(pid)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_files_are_kept_and_shown_by_the_path_that_the_model_knows(cells: Cells) -> None:
    assert cells.say("open('/mnt/data/a.txt', 'w').write('hello')") == "5"
    assert cells.say("print(open('/mnt/data/a.txt').read(), __import__('os').getcwd())") == (
        "hello /mnt/data"
    )
    assert cells.say("name = 'a'\nopen(f'/mnt/data/{name}.txt').name") == "'/mnt/data/a.txt'"
    assert "No such file or directory: '/mnt/data/b'" in cells.say("open('/mnt/data/b')")
    assert cells.say("import shutil; shutil.copy2('/mnt/data/a.txt', '/mnt/data/c.txt')") == (
        "'/mnt/data/c.txt'"
    )
    assert cells.say("import os; sorted(os.listdir('/mnt/data'))") == ("['a.txt', 'c.txt']")
    assert cells.say("'/mnt/database', b'/mnt/data', 'at /mnt/data'") == (
        "('/mnt/database', b'/mnt/data', 'at /mnt/data')"
    )
    assert cells.say("import tempfile; tempfile.mkdtemp()").startswith("'/tmp/")


def test_a_cell_sees_none_of_the_users_variables(
    make_cells: MakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-4711")
    monkeypatch.setenv("PYTHONPATH", "/canary-4711")
    cells = make_cells()
    said = cells.say("import os, sys; print(os.environ, sys.path, sys.argv)")
    assert "canary" not in said.lower()
    names = set(cells.say("print(*os.environ)").split())
    assert {"HOME", "TMPDIR", "LANG", "TZ"} <= names
    assert not names & {"PATH", "USER", "LOGNAME", "SHELL"}


def test_nothing_of_this_package_can_be_imported(cells: Cells) -> None:
    assert "ModuleNotFoundError" in cells.say("import mlxoss")
    assert "ModuleNotFoundError" in cells.say("import pydantic")


def test_output_is_cut_in_the_middle(make_cells: MakeCells) -> None:
    cells = make_cells(shown=1000)
    said = cells.say("print('begin'); print('x' * 50_000_000); print('end')")
    assert said.startswith("begin\nxxx")
    assert said.endswith("xxx\nend")
    assert "bytes left out ...]" in said
    assert len(said) < 1100
    assert cells.say("1") == "1"


def test_bytes_that_are_no_text_are_shown_as_such(cells: Cells) -> None:
    assert cells.say("import os; os.write(1, b'a\\xff\\n');") == "a\ufffd"
    assert cells.say("print('\\ud800')") == "\\ud800"
