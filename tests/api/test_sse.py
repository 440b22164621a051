from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxoss.api.sse import encode_event, encode_json

ANY_TEXT = st.text(st.characters(exclude_categories=()))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({"a": "é 🎉\n"}, '{"a":"é 🎉\\n"}'),
        ({"a": float("nan"), "b": float("-inf")}, '{"a":null,"b":null}'),
        (["\ud800", "a\udc00b"], '["\ufffd","a\ufffdb"]'),
        ({"\ud800": 2**70}, '{"\ufffd":1180591620717411303424}'),
    ],
)
def test_json(value: Any, encoded: str) -> None:
    assert encode_json(value).decode() == encoded


@given(ANY_JSON)
def test_any_value_becomes_strict_json_on_one_line(value: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    encoded = encode_json(value)
    json.loads(encoded.decode("utf-8"), parse_constant=refuse)
    assert b"\n" not in encoded


def test_events() -> None:
    assert encode_event({"a": 1}) == b'data: {"a":1}\n\n'
    assert encode_event({"a": 1}, event="error") == b'event: error\ndata: {"a":1}\n\n'
