"""PDF files, read by the process that reads them."""

from __future__ import annotations

import random
import resource

import pytest

from mlxoss.documents.pdf import MOST_PAGES, read_pdf, to_limits
from mlxoss.documents.pdf_process import read_pdf_apart
from tests.support.pdfs import encrypt, make_bomb, make_pdf

WHOLE = make_pdf("First page.", "Second (page).")


def test_the_text_of_each_page() -> None:
    assert read_pdf_apart(WHOLE, 1_000) == {"pages": ["First page.", "Second (page)."]}


def test_one_that_anybody_may_open_is_read() -> None:
    assert read_pdf_apart(encrypt(WHOLE, ""), 1_000) == {"pages": ["First page.", "Second (page)."]}


@pytest.mark.parametrize(
    ("pdf", "reason"),
    [
        (encrypt(WHOLE, "secret"), "encrypted"),
        (make_pdf("", ""), "no text"),
        (make_pdf("word " * 300), "more than 1000 characters"),
        (WHOLE[:300], "damaged"),
        (b"%PDF-1.7\n" + b"nothing" * 100, "damaged"),
        (b"", "damaged"),
        (make_bomb(200 << 20), ""),
        (make_pdf(*["a"] * (MOST_PAGES + 1)), f"more than {MOST_PAGES} pages"),
    ],
    ids=["encrypted", "images", "long", "cut", "nonsense", "empty", "bomb", "pages"],
)
def test_what_cannot_be_read_says_why(pdf: bytes, reason: str) -> None:
    found = read_pdf_apart(pdf, 1_000)
    assert "pages" not in found
    assert reason in found["reason"]


def test_one_that_takes_too_long_is_given_up() -> None:
    found = read_pdf_apart(WHOLE, 1_000, most_s=0.0)
    assert "longer than" in found["reason"]


def test_whatever_its_bytes_are_there_is_an_answer() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    for _ in range(100):
        damaged = bytearray(WHOLE)
        for _ in range(rng.randrange(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        found = read_pdf(bytes(damaged), 1_000)
        assert ("pages" in found) != ("reason" in found)


def test_the_bounds_of_each_system() -> None:
    assert set(to_limits("linux")) == {resource.RLIMIT_CPU, resource.RLIMIT_AS}
    assert set(to_limits("darwin")) == {resource.RLIMIT_CPU}
