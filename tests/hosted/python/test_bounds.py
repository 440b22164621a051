"""What a cell may use, and what becomes of one that uses more; time is a bound only of cells."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlxoss.hosted.python.worker.data_paths import SHOWN
from mlxoss.hosted.python.worker.syscalls import UNSUPPORTED
from mlxoss.system.memory import held_bytes
from tests.hosted.python.conftest import MakeCells
from tests.support.hosted.cells import Cells, is_alive, until_gone
from tests.support.waiting import until

slow = pytest.mark.slow

LOOPS = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(10_000)",
    "one call that lets nothing else run": "sum(range(10**13))",
    "deaf to signals": (
        "import signal\n"
        "for n in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(n, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "catastrophic": "import re\nre.match('(a+)+$', 'a' * 64 + 'b')",
}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name, marks=[] if name in ("loop", "deaf to signals") else slow)
        for name, code in LOOPS.items()
    ],
)
def test_a_cell_ends_at_its_deadline_and_loses_its_state(cells: Cells, code: str) -> None:
    pid = cells.pid()
    cells.say("kept = 1; open('/mnt/data/kept', 'w').close()")
    cells.change(cell_s=1.0)
    outcome = cells.run(code)
    cells.change(cell_s=600.0)
    assert outcome.is_failed
    assert outcome.text == outcome.logs
    assert outcome.text == (
        "[The Python process is gone: it took longer than 1 s. Its state is lost.]"
    )
    assert not is_alive(pid)
    assert "NameError" in cells.say("kept")
    assert cells.say("import os; os.listdir('/mnt/data')") == "['kept']"


def test_what_was_printed_before_the_end_is_shown(cells: Cells) -> None:
    outcome = cells.run("print('shown')\nimport os; os._exit(3)")
    assert outcome.text == (
        "shown\n[The Python process is gone: it ended with exit status 3. Its state is lost.]"
    )


def test_others_are_not_disturbed_by_one_that_does_not_end(make_cells: MakeCells) -> None:
    cells = make_cells()
    cells.say("x = 1", "cntr_b")
    task = cells.start("while True: pass", "cntr_a")
    assert cells.say("x", "cntr_b") == "1"
    assert cells.say("x + 1", "cntr_b") == "2"
    task.cancel()
    assert cells.end(task) is None


def test_processor_time_is_bounded_by_cell(make_cells: MakeCells) -> None:
    cells = make_cells(cpu_s=0.5)
    for _ in range(3):
        cells.say("""
            import time
            end = time.process_time() + 0.2
            while time.process_time() < end: pass
        """)
    outcome = cells.run("while True: pass")
    assert outcome.is_failed
    assert "0.5 s of processor time" in outcome.text


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS bounds no addresses")
def test_too_much_memory_at_once_is_an_error_and_the_state_stays(cells: Cells) -> None:
    cells.say("kept = 1")
    before = held_bytes(os.getpid())
    assert "MemoryError" in cells.say("b = bytearray(10 << 30)")
    assert "MemoryError" in cells.say(
        """
        import mmap
        try:
            mmap.mmap(-1, 10 << 30)
        except OSError as error:
            raise MemoryError from error
        """
    )
    after = held_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before < 64 << 20
    assert cells.say("kept") == "1"


@pytest.mark.parametrize(
    "code",
    [
        "held = []\nwhile True: held.append(bytearray(b'x') * (1 << 20))",
        "import mmap\nm = mmap.mmap(-1, 1 << 30)\nwhile m.write(b'x' * 4096): pass",
    ],
)
def test_memory_in_use_is_watched(make_cells: MakeCells, code: str) -> None:
    cells = make_cells(memory=150 << 20)
    outcome = cells.run(code)
    assert outcome.is_failed
    assert "150 MB of memory" in outcome.text
    assert cells.say("1") == "1"


def test_threads_are_counted(make_cells: MakeCells) -> None:
    cells = make_cells(threads=20)
    outcome = cells.run("""
        import threading
        while True:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    """)
    assert outcome.is_failed
    assert "more than 20 threads" in outcome.text or "it ended" in outcome.text
    assert cells.say("1") == "1"


def test_a_file_ends_at_the_quota_and_the_state_stays(make_cells: MakeCells) -> None:
    cells = make_cells(file=4 << 20)
    cells.say("kept = 1")
    said = cells.say("""
        with open("/mnt/data/big", "wb", buffering=0) as file:
            while True:
                if file.write(b"x" * (1 << 20)) == 0: break
    """)
    assert "OSError: [Errno 27]" in said
    assert sum(path.stat().st_size for path in cells.files() if path.is_file()) <= 4 << 20
    assert cells.say("kept") == "1"


FILLS = {
    "many files": "for n in range(100): open(f'/mnt/data/{n}', 'wb').write(b'x' * (1 << 20))",
    "many at once, then a pause": (
        "for n in range(100): open(f'/mnt/data/{n}', 'wb').write(b'x' * (1 << 20))\n"
        "import time; time.sleep(10_000)"
    ),
    "temporary files": (
        "import tempfile\nfor n in range(100): "
        "open(tempfile.mkstemp()[1], 'wb').write(b'x' * (1 << 20))"
    ),
    "below": (
        "import os\nos.makedirs('/mnt/data/a/b/c')\n"
        "for n in range(100): open(f'/mnt/data/a/b/c/{n}', 'wb').write(b'x' * (1 << 20))"
    ),
}


@pytest.mark.parametrize("code", FILLS.values(), ids=FILLS)
def test_files_together_have_a_quota(make_cells: MakeCells, code: str) -> None:
    cells = make_cells(files=8 << 20, file=4 << 20)
    outcome = cells.run(code)
    assert outcome.is_failed
    assert "its files took more than 8 MB" in outcome.text
    assert f"{SHOWN} was emptied" in outcome.text
    assert cells.files() == []
    assert cells.say("import os; os.listdir('/mnt/data')") == "[]"


@pytest.mark.skipif(sys.platform == "darwin", reason="these are Linux's calls")
def test_no_disk_is_taken_without_writing(make_cells: MakeCells) -> None:
    cells = make_cells()
    number = UNSUPPORTED["fallocate"][("x86_64", "aarch64").index(platform.machine())]
    said = cells.say(f"""
        import ctypes, os
        libc, keep_size = ctypes.CDLL(None, use_errno=True), 1
        def take(flags, mode):
            place = "/mnt/data" if flags == os.O_TMPFILE else "/mnt/data/a"
            file = os.open(place, flags | os.O_RDWR)
            call = ctypes.c_long({number})
            done = libc.syscall(call, file, mode, ctypes.c_long(0), ctypes.c_long(1 << 30))
            print(done, os.fstat(file).st_blocks)
        take(os.O_CREAT, keep_size)
        take(os.O_TMPFILE, keep_size)
        take(os.O_TMPFILE, 0)
        file = os.open("/mnt/data/b", os.O_CREAT | os.O_RDWR)
        os.posix_fallocate(file, 0, 10_000)  # the C library writes them
        os.fstat(file).st_size
    """)
    assert said.splitlines() == ["-1 0"] * 3 + ["10000"]


MESSES = {
    "many": "for n in range(10_000): open(f'/mnt/data/{n}', 'w').close()",
    "many folders": "import os\nfor n in range(10_000): os.mkdir(f'/mnt/data/{n}')",
    "deep": "import os\nfor n in range(5_000):\n    os.mkdir('d'); os.chdir('d')",
    "hidden": (
        "import os\nos.umask(0)\nos.mkdir('/mnt/data/h', 0o300)\n"
        "open('/mnt/data/h/f', 'w').write('x')\nimport time\ntime.sleep(10_000)"
    ),
    "closed": (
        "import os\nos.mkdir('/mnt/data/h')\nopen('/mnt/data/h/f', 'w').write('x')\n"
        "os.umask(0o777)\nos.mkdir('/mnt/data/h/g')\nfor n in range(10_000): "
        "os.mkdir(f'/mnt/data/h/{n}')"
    ),
}


@pytest.mark.parametrize("code", MESSES.values(), ids=MESSES)
def test_whatever_a_folder_was_made_of_it_can_be_removed(make_cells: MakeCells, code: str) -> None:
    cells = make_cells(file_count=300)
    if "0o300" in code and os.geteuid() == 0:
        pytest.skip("root reads every folder")
    outcome = cells.run(code)
    assert outcome.is_failed
    assert f"{SHOWN} was emptied" in outcome.text
    assert cells.files() == []
    assert cells.say("open('/mnt/data/a', 'w').write('x')") == "1"


def test_what_is_written_and_deleted_is_bounded(make_cells: MakeCells) -> None:
    cells = make_cells(written=64 << 20)
    if not counts_writes(cells):
        pytest.skip("the temporary folder is no disk")
    outcome = cells.run("""
        import os
        n = 0
        held = []
        while True:
            n += 1
            held = held[-50:] + [os.open(f"/mnt/data/{n}", os.O_CREAT | os.O_WRONLY)]
            os.write(held[-1], b"x" * (1 << 20))
            os.unlink(f"/mnt/data/{n}")
            if len(held) > 50: os.close(held.pop(0))
    """)
    assert outcome.is_failed
    assert "it wrote more than 64 MB" in outcome.text


def counts_writes(cells: Cells) -> bool:
    """Whether the folder's writes are a disk's: those to a file system in memory count nowhere."""
    if sys.platform == "darwin":
        return True
    words = ["stat", "-f", "-c", "%T", str(cells.root)]
    return (
        subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() != "tmpfs"
    )


def test_printing_without_end_is_bounded(make_cells: MakeCells) -> None:
    cells = make_cells(printed=8 << 20, shown=1000)
    outcome = cells.run("while True: print('x' * 1000)")
    assert outcome.is_failed
    assert "it printed more than 8 MB" in outcome.text
    assert len(outcome.text) < 1500


def test_a_killed_worker_is_an_error_and_the_next_cell_works(cells: Cells) -> None:
    pid = cells.pid()
    cells.say("open('/mnt/data/kept', 'w').close()")
    os.kill(pid, signal.SIGKILL)
    outcome = cells.run("1")
    assert outcome.is_failed
    assert "it ended by SIGKILL" in outcome.text
    assert cells.say("import os; os.listdir('/mnt/data')") == "['kept']"
    cell = "open('/mnt/data/pid', 'w').write(f'{os.getpid()}.'); import time; time.sleep(10_000)"
    task = cells.start(f"import os; {cell}")

    def told() -> int:
        cells.wait(0.05)
        said = "".join(path.read_text() for path in cells.files() if path.name == "pid")
        return int(said[:-1]) if said.endswith(".") else 0

    os.kill(until(told), signal.SIGKILL)
    killed = cells.end(task)
    assert killed is not None
    assert killed.is_failed


@pytest.mark.parametrize(
    "code", ["while True: pass", "sum(range(10**13))", "import time\ntime.sleep(10_000)"]
)
def test_a_cancelled_cell_leaves_no_process(cells: Cells, code: str) -> None:
    pid = cells.pid()
    task = cells.start(code)
    cells.wait(0.2)
    assert is_alive(pid)
    task.cancel()
    assert cells.end(task) is None
    assert not is_alive(pid)
    assert cells.say("1") == "1"


def test_a_cell_that_is_cancelled_while_it_waits_is_never_run(make_cells: MakeCells) -> None:
    cells = make_cells(live=1)
    cells.say("x = 1", "b")
    first = cells.start("import time; time.sleep(10_000)", "a")
    cells.wait(0.05)
    waiting = cells.start("open('/mnt/data/ran', 'w').close()", "b")
    behind = cells.start("open('/mnt/data/ran', 'w').close()", "a")
    cells.wait(0.05)
    waiting.cancel()
    behind.cancel()
    assert cells.end(waiting) is None
    assert cells.end(behind) is None
    first.cancel()
    assert cells.end(first) is None
    assert cells.say("import os; os.listdir('/mnt/data')", "b") == "[]"
    assert cells.say("import os; os.listdir('/mnt/data')", "a") == "[]"


def test_closing_leaves_no_process_and_no_file(make_cells: MakeCells, tmp_path: Path) -> None:
    cells = make_cells()
    pids = [cells.pid(name) for name in ("a", "b")]
    cells.close()
    assert not [pid for pid in pids if is_alive(pid)]
    assert not cells.root.exists()


DAEMON = """
import asyncio, sys
from pathlib import Path
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.tool import Containers, make_root

async def main():
    tool = Containers(make_root(Path(sys.argv[1])), None, Limits(start_s=600.0, cell_s=600.0))
    print((await tool.run("a", "import os; os.getpid()")).logs, flush=True)
    await (tool.run("a", "while True: pass") if sys.argv[2] == "busy" else asyncio.sleep(10_000))

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["busy", "idle"])
def test_a_worker_goes_with_its_daemon_however_that_ends(
    tmp_path: Path, refused: str | None, state: str
) -> None:
    if refused:
        pytest.skip(refused)
    words = [sys.executable, "-c", DAEMON, str(tmp_path), state]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        time.sleep(0.3)
        assert is_alive(pid)
        daemon.kill()
    until_gone(pid)
    # What it left is removed by the next one, what lives is not.
    first, second = Cells(tmp_path), Cells(tmp_path)
    assert len(list((tmp_path / "containers").iterdir())) == 2
    assert second.say("1") == first.say("1")
    first.close()
    second.close()
    assert list((tmp_path / "containers").iterdir()) == []


def test_few_processes_live_and_the_one_used_least_recently_goes(make_cells: MakeCells) -> None:
    cells = make_cells(live=2)
    for name in "ab":
        cells.say(f"x = {name!r}; open('/mnt/data/f', 'w').close()", name)
    cells.say("x", "a")
    cells.say("x = 'c'", "c")
    assert cells.say("x", "a") == "'a'"
    assert cells.say("x", "c") == "'c'"
    assert "NameError" in cells.say("x", "b")
    assert cells.say("import os; os.listdir('/mnt/data')", "b") == "['f']"


def test_cells_wait_for_their_turn(make_cells: MakeCells) -> None:
    cells = make_cells(live=1)
    tasks = [cells.start(f"x = {n}\nx", f"c{n % 3}") for n in range(9)]
    done = [cells.end(task) for task in tasks]
    assert [each.logs for each in done if each is not None] == [str(n) for n in range(9)]
    tasks = [cells.start(f"import time; time.sleep(0.05); print({n})", "same") for n in range(4)]
    done = [cells.end(task) for task in tasks]
    assert [each.logs for each in done if each is not None] == ["0", "1", "2", "3"]


def test_containers_with_files_are_few_too(make_cells: MakeCells) -> None:
    cells = make_cells(live=1, held=3)
    for n in range(6):
        cells.say(f"open('/mnt/data/{n}', 'w').close()", f"c{n}")
    assert sorted(path.name for path in cells.files() if path.is_file()) == ["3", "4", "5"]


def test_a_container_goes_when_nobody_uses_it(make_cells: MakeCells) -> None:
    cells = make_cells(idle_s=0.2)
    pid = cells.pid()
    cells.say("x = 1; open('/mnt/data/f', 'w').close()")

    def is_gone() -> bool:
        cells.wait(0.05)
        return not is_alive(pid) and not cells.files()

    until(is_gone)
    assert "NameError" in cells.say("x")
