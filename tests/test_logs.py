from __future__ import annotations

import logging
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxoss import logs
from mlxoss.errors import ConfigError

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    names = ("mlxoss", "sanic.access")
    before = root.handlers[:], root.level, [logging.getLogger(name).level for name in names]
    root.handlers[:] = []
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for name, level in zip(names, before[2], strict=True):
        logging.getLogger(name).setLevel(level)


def written(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


def test_a_line_has_the_time_in_utc_the_level_and_the_logger(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.set_up_logging("info", file)
    logging.getLogger("mlxoss.engine").info("loaded in %.1f s", 4.1)
    logging.getLogger("mlxoss.engine").debug("not shown")
    [line] = written(file)
    assert re.fullmatch(LINE + r"info    mlxoss\.engine: loaded in 4\.1 s", line)


def test_a_traceback_follows_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.set_up_logging("info", file)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("mlxoss").exception("it failed")
    lines = written(file)
    assert lines[0].endswith("error   mlxoss: it failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: broken"


def test_no_text_can_forge_a_line(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.set_up_logging("info", file)
    logging.getLogger("mlxoss").info("got %s", "a\n2026 error\x1b[2J\u2028é😀\ud800")
    [line] = written(file)
    assert line.endswith("mlxoss: got a\\n2026 error\\x1b[2J\\u2028é😀\\ud800")


@pytest.mark.parametrize(
    ("level", "own", "others"),
    [("debug", "debug", "info"), ("info", "info", "warning"), ("error", "error", "error")],
)
def test_other_packages_are_quieter(tmp_path: Path, level: str, own: str, others: str) -> None:
    file = tmp_path / "x.log"
    logs.set_up_logging(level, file)
    for name in ("mlxoss.x", "sanic.root"):
        for word in ("debug", "info", "warning", "error"):
            logging.getLogger(name).log(logging.getLevelNamesMapping()[word.upper()], word)
    seen = [line.split()[1:3] for line in written(file)]
    assert next(word for word, name in seen if name == "mlxoss.x:") == own
    assert next(word for word, name in seen if name == "sanic.root:") == others


@pytest.mark.parametrize("http_access", [True, False])
def test_a_line_per_http_request_only_if_wanted(tmp_path: Path, http_access: bool) -> None:
    file = tmp_path / "x.log"
    logs.set_up_logging("info", file, http_access=http_access)
    request = {"host": "127.0.0.1:5", "request": "GET http://h/health", "status": 200, "byte": 9}
    logging.getLogger("sanic.access").info("", extra=request)
    lines = written(file)
    assert len(lines) == http_access
    if http_access:
        assert lines[0].endswith("sanic.access: 127.0.0.1:5 GET http://h/health 200 9")


def test_the_file_is_its_owners_alone_and_turns_over(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "x.log"
    logs.set_up_logging("info", file, file_bytes=1000)
    for number in range(200):
        logging.getLogger("mlxoss").info("line %d %s", number, "x" * 60)
    files = sorted(file.parent.iterdir())
    assert [f.name for f in files] == ["x.log", *(f"x.log.{n}" for n in range(1, logs.FILES))]
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    assert written(file)[-1].endswith("line 199 " + "x" * 60)


def test_a_second_call_replaces_the_first(tmp_path: Path) -> None:
    logs.set_up_logging("info", tmp_path / "a.log")
    logs.set_up_logging("info", tmp_path / "b.log")
    logging.getLogger("mlxoss").info("once")
    assert written(tmp_path / "a.log") == []
    assert len(written(tmp_path / "b.log")) == 1


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path} cannot be written: Is a directory"):
        logs.set_up_logging("info", tmp_path)


def test_without_a_file_lines_go_to_stderr() -> None:
    code = (
        "import logging; from mlxoss.logs import set_up_logging; set_up_logging('info');"
        "logging.getLogger('mlxoss').info('hello')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == ""
    assert re.fullmatch(LINE + "info    mlxoss: hello\n", done.stderr)
