from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxoss.harmony.stop import StopMatcher

CASES: dict[str, tuple[list[str], list[tuple[str, str, bool]], str]] = {
    # name: (stop strings, [(pushed, emitted, hit)], flushed)
    "no stop strings": ([], [("ab", "ab", False)], ""),
    "empty stop string": ([""], [("ab", "ab", False)], ""),
    "inside a chunk": (["STOP"], [("a STOP b", "a ", True)], ""),
    "across chunks": (["STOP"], [("a ST", "a ", False), ("OP b", "", True)], ""),
    "across many chunks": (["abc"], [("a", "", False), ("b", "", False), ("c", "", True)], ""),
    "false start": (["STOP"], [("a ST", "a ", False), ("ART", "START", False)], ""),
    "held at the end": (["STOP"], [("a STO", "a ", False)], "STO"),
    "false start holds the next": (["aab"], [("aa", "", False), ("a", "a", False)], "aa"),
    "nothing after a hit": (["b"], [("abc", "a", True), ("def", "", True)], ""),
    "empty chunk": (["b"], [("", "", False), ("a", "a", False)], ""),
    "at the start": (["b"], [("bc", "", True)], ""),
    "first occurrence": (["b", "d"], [("a d b", "a ", True)], ""),
    "complete first": (["abcd", "c"], [("abcd", "ab", True)], ""),
    "longest of those that end together": (["c", "bc"], [("abc", "a", True)], ""),
    "inside another's start": (["abcx", "bc"], [("ab", "", False), ("c", "a", True)], ""),
    "one starts another": (["ab", "abc"], [("xabc", "x", True)], ""),
    "switches to another": (["aab", "abc"], [("aa", "", False), ("bc", "", True)], ""),
    "overlapping candidates": (["abac", "acx"], [("aba", "", False), ("cx", "", True)], ""),
    "same string twice": (["b", "b"], [("ab", "a", True)], ""),
    "newlines and emoji": (["\n\n", "🎉"], [("a\n", "a", False), ("b🎉", "\nb", True)], ""),
}


@pytest.mark.parametrize(("stops", "pushes", "flushed"), CASES.values(), ids=CASES)
def test_cases(stops: list[str], pushes: list[tuple[str, str, bool]], flushed: str) -> None:
    matcher = StopMatcher(stops)
    for text, emitted, is_hit in pushes:
        assert matcher.push(text) == (emitted, is_hit)
    assert matcher.flush() == flushed


def cut_at_stop(stops: list[str], text: str) -> tuple[str, bool]:
    """The definition, slowly: the first end of any stop string, its longest occurrence."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


words = st.text("ab", max_size=6) | st.text("abc🎉", max_size=4)


@settings(deadline=None, database=None, print_blob=True)
@given(stops=st.lists(words, max_size=4), chunks=st.lists(st.text("abc🎉", max_size=5)))
def test_chunks_never_matter(stops: list[str], chunks: list[str]) -> None:
    matcher = StopMatcher(stops)
    emitted, seen, is_hit = "", "", False
    for chunk in chunks:
        text, is_hit = matcher.push(chunk)
        emitted += text
        seen += chunk
        wanted, wanted_hit = cut_at_stop(stops, seen)
        assert is_hit is wanted_hit
        if is_hit:
            assert emitted == wanted
            break
        held = seen[len(emitted) :]
        assert emitted + held == seen
        starts = {stop[:length] for stop in stops for length in range(1, len(stop))}
        tails = [seen[place:] for place in range(len(seen)) if seen[place:] in starts]
        assert held == max(tails, key=len, default="")
    assert emitted + matcher.flush() == cut_at_stop(stops, seen)[0]


def test_a_nearly_repeating_stop_string() -> None:
    """Tens of thousands of false starts, each held back by tens of thousands of characters."""
    length = 50_000
    matcher = StopMatcher(["a" * length + "b", "a" * (length // 2) + "c"])
    count = 0
    for _ in range(4 * length):
        text, is_hit = matcher.push("a")
        assert not is_hit
        count += len(text)
    assert count == 3 * length
    assert matcher.push("b") == ("", True)
