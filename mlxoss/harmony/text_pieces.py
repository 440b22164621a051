"""Text cut into pieces that the library can merge into tokens in good time.

The vocabulary's pattern (o200k, openai-harmony ``src/tiktoken_ext``) splits text into
words, numbers, punctuation and white space before bytes are merged, and merging takes
time quadratic in such a part: 200,000 times the letter ``a`` takes half a minute. Real
text never has parts of ``MAX_RUN`` characters, so cutting those changes nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

MAX_RUN = 512
"""The longest run of one kind of character that is left whole."""

# The pattern's white space is Unicode's, which leaves out four that Python counts in.
_STRETCH = re.compile(
    rf"(?<![\S\x1c-\x1f])[\S\x1c-\x1f]{{{MAX_RUN + 1},}}"
    rf"|(?<![^\S\x1c-\x1f])[^\S\x1c-\x1f]{{{MAX_RUN + 1},}}"
)
# Punctuation takes slashes and line ends after it along, in any mixture.
_SLASHES = re.compile(rf"(?<![\r\n/])[\r\n/]{{{MAX_RUN + 1},}}")


def split_long_runs(text: str) -> list[str]:
    """Pieces that joined are ``text``: one, unless a run is longer than ``MAX_RUN``."""
    cuts = {cut for match in _SLASHES.finditer(text) for cut in _every(*match.span())}
    for match in _STRETCH.finditer(text):
        for start, end in _runs(text, *match.span()):
            cuts.update(_every(start, end))
    return [text[start:end] for start, end in pairwise([0, *sorted(cuts), len(text)])]


def _every(start: int, end: int) -> range:
    return range(start + MAX_RUN, end, MAX_RUN)


def _runs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of letters, of numbers and of anything else between ``start`` and ``end``.

    Marks count as what they follow, since the pattern takes them into both letters and
    punctuation; so do unassigned code points, which another Unicode version may know.
    """
    kind = ""
    for index in range(start, end):
        category = unicodedata.category(text[index])
        if category[0] == "M" or category == "Cn":
            continue
        found = category[0] if category[0] in "LN" else "other"
        if found != kind:
            yield start, index
            start, kind = index, found
    yield start, end
