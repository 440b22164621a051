"""What ``mlxoss chat`` shows of tools that the server runs: scripted servers on real sockets."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from mlxoss.cli.chat.call_lines import cut, to_call_line
from mlxoss.cli.client.pieces import CallPiece
from tests.support.cli.runner import mlxoss, on_a_terminal
from tests.support.cli.scripted_server import serve
from tests.support.server.response_events import (
    PLOT,
    answered,
    citation,
    ended,
    event,
    python_call,
    reasoned,
    run_python,
    run_web,
    said,
    web_call,
)

SUM = python_call("12345 * 6789", "83810205")
PAGE = "https://example.org/a"
SEARCH = web_call(type="search", query="tides", sources=[{"type": "url", "url": PAGE}])
OPEN = web_call(type="open_page", url=PAGE)
FIND = web_call(type="find_in_page", pattern="spring tide", url=PAGE)
LINK = f"([example.org]({PAGE}))"
TEXT = f"🌊 It is high at noon {LINK}."
MARKED = "🌊 It is high at noon [1]."
ANSWER = b"".join(
    (
        reasoned("A product."),
        run_python(1, SUM),
        run_web(2, SEARCH),
        run_web(3, OPEN),
        run_web(4, FIND),
        answered(5, TEXT, citation(TEXT, LINK, "Tides\x1b[2J of\nOslo", PAGE)),
    )
)


def plain(shown: str) -> str:
    """What stays on the screen: what was erased is not there."""
    return re.sub(r"[^\n]*\r\x1b\[2K", "", shown)


def test_a_line_tells_of_each_call_and_sources_stand_below(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        arguments = ["chat", "Hello", "--url", server.url]
        shown = on_a_terminal(tmp_path, arguments, {"NO_COLOR": "1"})
    assert plain(shown) == (
        "A product.\n"
        "python: 12345 * 6789 → 83810205\n"
        "searched: tides → 1 page\n"
        f"opened: {PAGE}\n"
        f"looked for: 'spring tide' in {PAGE}\n"
        "\n"
        f"{MARKED}\n"
        "\n"
        f"[1] Tides[2J of Oslo {PAGE}\n"
    )
    assert "python: 12345 * 6789 …" in shown  # while it ran
    body = server.asked[0][1]
    assert [tool["type"] for tool in body["tools"]] == ["code_interpreter", "web_search"]


def test_lines_of_calls_are_dimmed(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        arguments = ["chat", "Hello", "--url", server.url]
        shown = on_a_terminal(tmp_path, arguments, {"NO_COLOR": ""})
    assert "\x1b[2mpython: 12345 * 6789 → 83810205\x1b[0m\n" in shown
    assert "\x1b[2J" not in shown


def test_the_answer_alone_has_its_sources(tmp_path: Path) -> None:
    with serve(ANSWER) as server:
        arguments = ["chat", "Hello", "--hide-reasoning", "--url", server.url]
        shown = on_a_terminal(tmp_path, arguments, {"NO_COLOR": "1"})
        piped = mlxoss(tmp_path, "chat", "Hello", "--url", server.url)
    assert shown == f"{MARKED}\n\n[1] Tides[2J of Oslo {PAGE}\n"
    assert piped.stdout == f"{TEXT}\n"
    assert piped.stderr == f"[1] Tides[2J of Oslo {PAGE}\n"


def test_a_plot_is_a_file(tmp_path: Path) -> None:
    drawn = python_call("plot()", "", PLOT, "data:image/svg+xml;base64,AAAA", "https://x/y.png")
    answer = run_python(0, drawn) + answered(1, "See there.")
    with serve(answer) as server:
        arguments = ["chat", "Hello", "--url", server.url]
        done = mlxoss(tmp_path, *arguments, env={"TMPDIR": str(tmp_path)})
    assert done.stdout == "See there.\n"
    first, *others = done.stderr.splitlines()
    assert others == ["plot: it could not be saved"] * 2
    file = Path(first.removeprefix("plot: "))
    assert file.is_relative_to(tmp_path)
    assert file.suffix == ".png"
    assert file.read_bytes() == base64.b64decode(PLOT.partition(",")[2])
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_only_pages_are_sources_with_an_address(tmp_path: Path) -> None:
    text = "See ([a](x)) and ([b](y)), not ([c](z))."
    cited = [
        citation(text, "([a](x))", "A", "javascript:alert(1)"),
        citation(text, "([b](y))", "", PAGE),
        citation(text, ".", "A", "javascript:alert(1)") | {"start_index": 10**9, "end_index": -4},
    ]
    with serve(answered(0, text, *cited)) as server:
        done = mlxoss(tmp_path, "chat", "hi", "--url", server.url)
        shown = on_a_terminal(tmp_path, ["chat", "hi", "--url", server.url], {"NO_COLOR": "1"})
    assert done.stdout == f"{text}\n"
    assert done.stderr == f"[1] A\n[2] {PAGE}\n"
    assert shown == f"See [1] and [2], not ([c](z)).\n\n{done.stderr}"


def test_tools_can_be_left_out(tmp_path: Path) -> None:
    with serve(said("Hi") + ended()) as server:
        assert mlxoss(tmp_path, "chat", "hi", "--no-tools", "--url", server.url).returncode == 0
    assert "tools" not in server.asked[0][1]


def test_what_is_said_before_a_call_is_no_answer(tmp_path: Path) -> None:
    item = {"type": "message", "id": "m", "phase": "commentary", "content": []}
    began = event("response.output_item.added", output_index=0, item=item)
    with serve(began + said("Let me look.") + run_web(1, SEARCH) + answered(2, "Noon.")) as server:
        done = mlxoss(tmp_path, "chat", "hi", "--url", server.url)
    assert done.stdout == "Noon.\n"


LINES = [
    (CallPiece("python", "", ""), "python: "),
    (CallPiece("python", "x = 1\n\nx + 1\n", "2\n"), "python: x = 1 … (2 lines) → 2"),
    (CallPiece("python", "1 / 0", "Traceback\nZeroDivisionError: 1\n"), "ZeroDivisionError: 1"),
    (CallPiece("python", "while 1: pass", "", is_failed=True), "python: while 1: pass → failed"),
    (CallPiece("python", "a\x1b]0;x\x07\r\n", "\x9b31mb\x08"), "python: a]0;x → 31mb"),
    (CallPiece("opened", "https://a/\u202egnp.exe\u2066"), "opened: https://a/gnp.exe"),
    (CallPiece("oslo.tides", '{"day": 1}', "high"), 'oslo.tides: {"day": 1} → high'),
    (CallPiece("searched", "x" * 99, "10 pages"), f"searched: {'x' * 37}… → 10 pages"),
]


@pytest.mark.parametrize(("call", "line"), LINES)
def test_how_a_call_is_told(call: CallPiece, line: str) -> None:
    assert to_call_line(call).endswith(line)


@pytest.mark.parametrize("each", ["x", "字", "x字"])
def test_a_line_fits_a_terminal(each: str) -> None:
    call = CallPiece("python", each * 500, each * 500)
    line = to_call_line(call)
    assert sum(1 if char in "python: x→…" else 2 for char in line) <= 80
    assert line.count("…") == 2
    assert cut(each * 3, 80) == each * 3
