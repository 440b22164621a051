"""Marks become links at the right places, however the text arrives."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxoss.api.hosted.citations import Citation, CitedText
from mlxoss.harmony.encoding import Encoding
from mlxoss.outcomes import ShownPage
from tests.support.api.hosted_runs import FINAL, PAGES, HostedRun, play_rounds
from tests.support.api.responses_runs import one_at_a_time

LINK = "([example.org](https://www.example.org/a%28b%29?q=ü))"
OTHER = "([other.example](https://other.example/x))"


def cite(*pieces: str) -> tuple[str, list[Citation], list[str]]:
    text = CitedText(PAGES.get)
    said = [text.add(piece) for piece in pieces] + [text.close()]
    return (
        "".join(part for part, _ in said),
        [citation for _, citations in said for citation in citations],
        [part for part, _ in said],
    )


WHOLE = {
    "Gulls【1†L3】 fly.": f"Gulls {LINK} fly.",
    "Gulls 【1†L3-L9】【2†L1】": f"Gulls {LINK} {OTHER}",
    "【1†L3†example.org】": LINK,
    "no page【7†L3】, a page of hits【0†L1】": "no page【7†L3】, a page of hits【0†L1】",
    "【】【†】【1】【1†】【x†L1】【1†L\n1】": "【】【†】【1】【1†】【x†L1】【1†L\n1】",
    "【【1†L3】】": f"【 {LINK}】",
    "the end【1†L": "the end【1†L",
    "【1†" + "L" * 81 + "】": "【1†" + "L" * 81 + "】",
}


@pytest.mark.parametrize("text", WHOLE)
def test_marks_become_links(text: str) -> None:
    said, citations, _ = cite(text)
    assert said == WHOLE[text]
    for citation in citations:
        assert said[citation.start : citation.end] in (LINK, OTHER)
    assert len(citations) == said.count(LINK) + said.count(OTHER)


TEXTS = st.lists(
    st.sampled_from(
        ["【1†L3】", "【2†L1-L2†x.org】", "【", "†", "】", "1", "【9†", "a 🦜", " ", "\n"]
    ),
    max_size=12,
).map("".join)


@given(TEXTS, st.lists(st.integers(0, 60), max_size=8))
def test_it_is_the_same_wherever_it_is_split(text: str, cuts: Sequence[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    whole, citations, _ = cite(text)
    assert cite(*pieces)[:2] == cite(*text)[:2] == (whole, citations)
    for citation in citations:
        assert whole[citation.start : citation.end] in (LINK, OTHER)


def test_a_mark_is_never_shown_in_halves() -> None:
    text = "Gulls fly【1†L3-L9】 over the sea【2†L1】."
    *parts, _ = cite(*text)[2]
    assert all("【" not in part and "†" not in part for part in parts)
    # What cannot be one any more does not wait for the end.
    assert cite("a【b", "c")[2] == ["a【b", "c", ""]


def test_a_link_ends_neither_itself_nor_the_json_around_it() -> None:
    page = ShownPage(1, 'http://x.org/"\\)](<a>\n b', 'A "title"')
    text = CitedText({1: page}.get)
    said, (citation,) = text.add('{"a": "see【1†L1】"}')
    link = said[citation.start : citation.end]
    assert json.loads(said) == {"a": f"see {link}"}
    assert (link.count(")"), link.count("]")) == (2, 1)
    assert not set('"\\<>\n') & set(link)


def test_streamed_and_whole_say_the_same(encoding: Encoding) -> None:
    run = HostedRun([f"{FINAL}🦜 Gulls【1†L3-L9】 and more【2†L1】【0†L1.<|return|>"])
    for batch in (one_at_a_time, lambda ids: [ids]):
        played = play_rounds(encoding, run, batch)
        message: Any = played.output[0]
        (part,) = message["content"]
        deltas = [e["delta"] for e in played.events if e["type"].endswith("output_text.delta")]
        assert "".join(deltas) == part["text"]
        assert part["text"] == f"🦜 Gulls {LINK} and more {OTHER}【0†L1."
        added = [e for e in played.events if e["type"].endswith("annotation.added")]
        assert [event["annotation"] for event in added] == part["annotations"]
        assert [event["annotation_index"] for event in added] == [0, 1]
        for annotation in part["annotations"]:
            cited = part["text"][annotation["start_index"] : annotation["end_index"]]
            assert cited in (LINK, OTHER)
