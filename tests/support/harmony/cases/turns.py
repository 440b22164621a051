"""What models write after ``<|start|>assistant``, and how it is read.

The malformed ones were seen from gpt-oss at one server or another, or are a token away from it.
"""

from __future__ import annotations

from tests.support.harmony.cases.clean import CLEAN
from tests.support.harmony.cases.ends import ENDS
from tests.support.harmony.cases.headers import HEADERS
from tests.support.harmony.cases.recipients import RECIPIENTS

ALL = {
    f"{group}: {name}": case
    for group, cases in (
        ("clean", CLEAN),
        ("recipient", RECIPIENTS),
        ("header", HEADERS),
        ("end", ENDS),
    )
    for name, case in cases.items()
}
