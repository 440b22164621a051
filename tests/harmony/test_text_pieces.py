"""Long runs of characters are cut; everything else is left to the library."""

from __future__ import annotations

import datetime

import openai_harmony
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxoss.harmony.conversation import Conversation, UserText
from mlxoss.harmony.encoding import Encoding, is_special
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.text_pieces import MAX_RUN, split_long_runs

LONG = 50 * MAX_RUN

RUNS = {
    "letters": "a" * LONG,
    "two letters": "ab" * LONG,
    "letters of other scripts": "字กé" * LONG,
    "letters with marks": "e\u0301" * LONG,
    "marks": "\u0301" * LONG,
    "punctuation": "=" * LONG,
    "mixed punctuation": "-_<|" * LONG,
    "punctuation with marks": "!!\u0301" * LONG,
    "slashes and line ends": "/\n" * LONG,
    "punctuation, then slashes and line ends": "!" * LONG + "/\r\n" * LONG,
    "spaces": " " * LONG,
    "line ends": "\n" * LONG,
    "all white space": " \t\r\n\u00a0\u3000" * LONG,
    "control characters": "\x1c!" * LONG,
    "unassigned code points": "a\U000e0fff" * LONG,
    "emoji": "👩‍👩‍👧" * LONG,
    "a run inside a sentence": f"see {'x' * LONG}, please",
}

LEFT_WHOLE = {
    "nothing": "",
    "a sentence": "The quick brown fox. " * LONG,
    "the longest run": "a" * MAX_RUN + " " * MAX_RUN + "." * MAX_RUN + "\n" * MAX_RUN,
    "numbers among letters": "f00d" * LONG,
    "base64": "QUJDRA+x/7k9" * LONG,
    "json on one line": '{"a":"b"},' * LONG,
    "chinese": "天地玄黃。宇宙洪荒。" * LONG,
    "slashes": "https://example.org/a/b/" * LONG,
}


@pytest.mark.parametrize("name", RUNS)
def test_long_runs_are_cut(encoding: Encoding, name: str) -> None:
    text = RUNS[name]
    pieces = split_long_runs(text)
    assert len(pieces) > 10
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 3 * MAX_RUN
    assert encoding.decode(encoding.encode_text(text)) == text


@pytest.mark.parametrize("name", LEFT_WHOLE)
def test_other_text_is_left_whole(name: str) -> None:
    assert split_long_runs(LEFT_WHOLE[name]) == [LEFT_WHOLE[name]]


@pytest.mark.parametrize("name", ["letters", "slashes and line ends", "control characters"])
def test_a_prompt_holds_the_same_tokens_as_the_text(encoding: Encoding, name: str) -> None:
    prompt = render_prompt(
        encoding, Conversation(items=(UserText(RUNS[name]),), date=datetime.date(2026, 2, 3))
    )
    text_ids = encoding.encode_text(RUNS[name])
    # The text, then <|end|><|start|>assistant.
    assert prompt[-len(text_ids) - 3 : -3] == text_ids
    assert is_special(prompt[-len(text_ids) - 4])


@settings(deadline=None, print_blob=True)
@given(text=st.text(st.sampled_from("aé字 \n/!_\u03011"), max_size=MAX_RUN))
def test_shorter_text_gets_the_library_s_tokens(
    encoding: Encoding, library: openai_harmony.HarmonyEncoding, text: str
) -> None:
    assert encoding.encode_text(text) == library.encode(text)


@settings(deadline=None, print_blob=True)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from("aé字 \n/!_\u03011"), st.integers(1, 3 * MAX_RUN)), max_size=6
    )
)
def test_runs_in_any_order_round_trip(encoding: Encoding, parts: list[tuple[str, int]]) -> None:
    text = "".join(character * count for character, count in parts)
    assert "".join(split_long_runs(text)) == text
    assert encoding.decode(encoding.encode_text(text)) == text
