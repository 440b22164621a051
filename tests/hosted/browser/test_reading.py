"""A page's bytes as lines: HTML, text and PDF, whatever they are called, however they are made."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import textwrap

import pytest

from mlxoss.hosted.browser import apart
from mlxoss.hosted.browser.apart import read_apart
from mlxoss.hosted.browser.flow import MOST_CHARS
from mlxoss.hosted.browser.reading import MOST_LINES, PageHead, Reading, read_page
from tests.support.pdfs import encrypt, make_bomb, make_pdf

URL = "https://site.example/a/b"


def read(data: bytes | str, kind: str | None = "text/html", *, is_source: bool = False) -> Reading:
    raw = data.encode() if isinstance(data, str) else data
    return read_page({"url": URL, "media_type": kind, "is_source": is_source}, raw)


def text(data: bytes | str, kind: str | None = "text/html") -> str:
    lines = read(data, kind)["lines"]
    assert lines[:2] == ["", f"URL: {URL}"]
    return "\n".join(lines[2:])


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One\n  two<b>three</b> <i> four </i>.", "One twothree four ."),
        ("<h2>Head</h2>text<p>more", "## Head\n\ntext\n\nmore"),
        ("<ul><li>a<li>b<ol><li>c<li>d</ol></ul>e", "  * a\n  * b\n    1. c\n    2. d\n\ne"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c<td>d</table>", "a b\nc d"),
        ("a<br>b<br/>c<hr>d", "a\nb\nc\n\n* * *\n\nd"),
        ("<pre>\n if x:\n\ty\n\n z</pre>after", " if x:\n        y\n\n z\n\nafter"),
        ("<blockquote>a<p>b</blockquote>c", "> a\n\n> b\n\nc"),
        ("x<sup>2</sup> + H<sub>2</sub>O", "x^{2} + H_{2}O"),
        ("<script>var a = '<p>b'</script><style>p{}</style>c<!-- d -->", "c"),
        ("<script/>hidden</script>shown", "shown"),
        ("<svg><title>no</title><text>no</text></svg>a<svg/>b", "ab"),
        ("<dl><dt>a<dd>b</dl>", "a\n    b"),
        ("&lt;b&gt; &amp;amp; &#x41;&nbsp;&eacute; &bogus;", "<b> &amp; A é &bogus;"),
        ("a&#0;b&#x202e;c\u200bd\x07e", "a\ufffdbcde"),
        ("<img alt='A  cat'><img title=b><img src=c>", "[Image 0: A cat] [Image 1: b] [Image 2]"),
        ("<b><i><p>a</b></i></p></div></ul></pre></blockquote></a>b", "a\n\nb"),
        ("<details><summary>a</summary>b</details>", "a\nb"),
        ("plain < text > and <3 & more", "plain < text > and <3 & more"),
        ("a<![foo[b]]>c<![CDATA[d]]>e<![if IE]>f<![endif]>g<!x>h<?i>j", "acefghj"),
        ("", ""),
    ],
)
def test_html(html: str, expected: str) -> None:
    assert text(html) == expected


def test_links() -> None:
    found = read(
        "<base href='https://site.example/c/'><a href='x?a=1&amp;b=2#c'> the  <b>first</b>\n</a>"
        "and <a href='//other.example:8080/y'>second<div>of†it</div></a> "
        "<a href=x?a=1&b=2#c>again</a> "
        "<a href='#d'>here</a> <a href='javascript:e()'>script</a> <a href='mailto:a@b.c'>mail</a> "
        "<a href='https://u:p@site.example/'>user</a> <a href='http://[1'>bad</a> <a>none</a> "
        f"<a href='/{'l' * 3000}'>long</a> <a href='/z'><img alt='cat'></a><a href='/e'> </a> "
        "<a href='/open'>not closed <a href='/next'>next</a>"
    )
    assert "".join(found["lines"][2:]) == (
        "【0†the first】 and 【1†second of‡it†other.example:8080】 【0†again】 here script mail "
        "user bad none long 【2†[Image 0: cat]】 【3†not closed】 【4†next】"
    )
    assert found["links"] == [
        "https://site.example/c/x?a=1&b=2#c",
        "https://other.example:8080/y",
        *(f"https://site.example/{name}" for name in ("z", "open", "next")),
    ]


def test_a_link_that_is_never_closed_ends() -> None:
    found = text("<a href=/x>" + "words " * 1000 + "<p>more</p>" * 3)
    assert found.startswith("【0†words words")
    assert found.count("【") == found.count("】") == 1
    assert found.endswith("more\n\nmore\n\nmore")


def test_the_title_is_in_one_line() -> None:
    assert read("<title> a\n【1†b】 &amp; c </title>d")["title"] == "a 〖1†b〗 & c"
    assert read("<title>a</title>b<title>c</title>d")["title"] == "a"
    assert len(read(f"<title>{'t' * 5000}</title>d")["title"]) == 300


def test_lines_are_wrapped() -> None:
    words = "some words of-several lengths and " * 40
    whole = textwrap.wrap(words.rstrip(), 80, replace_whitespace=False, drop_whitespace=False)
    assert text(f"<p>{words}</p>").split("\n") == whole
    assert text("x" * 200, "text/plain").split("\n") == ["x" * 80, "x" * 80, "x" * 40]


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        ("é ü".encode(), "text/plain", "é ü"),
        ("é ü".encode("latin-1"), "text/plain", "é ü"),
        ("é “x”".encode("cp1252"), "text/html; charset=ISO-8859-1", "é “x”"),
        ("日本".encode("shift_jis"), "text/html; charset=Shift_JIS", "日本"),
        ("日本".encode("euc_jp"), "text/html; charset='euc-jp'", "日本"),
        ("中文".encode("gb18030"), "text/html; charset=gb2312", "中文"),
        (b"<meta charset=windows-1251>" + "да".encode("cp1251"), "text/html", "да"),
        (
            b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">'
            + "да".encode("koi8-r"),
            "text/html",
            "да",
        ),
        ("é".encode("utf-16"), "text/plain", "é"),
        (b"\xef\xbb\xbf" + "é".encode(), "text/html; charset=latin-1", "é"),
        ("é".encode(), "text/html; charset=idna", "é"),
        ("é".encode(), "text/html; charset=undefined", "é"),
        ("é".encode(), "text/html; charset=zlib", "é"),
        ("é".encode(), 'text/html; charset="' + "x" * 10_000, "é"),
        (b"<meta charset=utf-16>" + "é".encode(), "text/html", "é"),
        (b"long enough, with one \xff fault and \xc3\xa9 \xc3\xa9", "text/plain", None),
    ],
)
def test_charsets(data: bytes, kind: str, expected: str | None) -> None:
    assert text(data, kind) == (expected or "long enough, with one \ufffd fault and é é")


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        ("<p>a</p>", "TEXT/HTML", "a"),
        ("<p>a</p>", "application/xhtml+xml; charset=utf-8", "a"),
        ("<p>a</p>", "text/plain", "<p>a</p>"),
        ("<p>a</p>", "application/xml", "<p>a</p>"),
        ('{"a": 1}', "application/problem+json", '{"a": 1}'),
        ("<!DOCTYPE html><p>a</p>", None, "a"),
        ("a\r\nb", None, "a\nb"),
        (make_pdf("Words."), "text/html", "[page 1]\nWords."),
        (make_pdf("Words."), "application/octet-stream", "[page 1]\nWords."),
    ],
)
def test_a_page_is_what_its_type_and_its_beginning_say(
    data: bytes | str, kind: str | None, expected: str
) -> None:
    assert text(data, kind) == expected


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        ("<p>a</p>", "image/png", "no page of text or HTML and no PDF (its type is 'image/png')"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "text/html", "no page of text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None, "no page of text"),
        ("words", "application/pdf", "it is called a PDF and is none"),
        (b"%PDF-1.7 nothing", "text/plain", "damaged, or no PDF"),
        (encrypt(make_pdf("a"), "pw"), "application/pdf", "opens with a password alone"),
        ("a", "【1†x】/\x1b[1m", "〖1†x〗/[1m"),
    ],
)
def test_what_cannot_be_shown(data: bytes | str, kind: str | None, reason: str) -> None:
    found = read(data, kind)
    assert "lines" not in found
    assert reason in found["reason"]


def test_the_source_of_a_page() -> None:
    assert read("<p>a</p>", is_source=True)["lines"][2:] == ["<p>a</p>"]


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000 + "deep",
        "<ul><li>" * 100_000 + "deep",
        "<blockquote>" * 1_000 + "deep",
        "<a href='/x'>" * 100_000,
        "<b>x</b>" * 300_000,
        "x" * (3 * MOST_CHARS),
        "<br>x" * 150_000,
        f"<p title='{'y' * 4_000_000}'>a</p>",
        f"<a href='/{'y' * 4_000_000}'>a</a>",
        "<p " + "a=b " * 500_000 + ">a</p>",
        "<svg>" * 1_000 + "never closed",
        "&#x110000;&#xd800;&#99999999999;" * 1_000,
    ],
)
def test_a_page_that_is_made_to_hurt_has_bounds(html: str) -> None:
    found = read(html)
    assert len(found["lines"]) <= MOST_LINES + 1
    assert sum(map(len, found["lines"])) < 2 * MOST_CHARS
    assert all(len(line) <= 80 for line in found["lines"])
    assert len(found["links"]) <= 5_000


def test_a_page_that_takes_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_WORDS", ("-c", "while True: pass"))
    head: PageHead = {"url": URL, "media_type": "text/html", "is_source": False}
    assert asyncio.run(read_apart(head, b"a" * 1_000_000, 0.2)) == {
        "reason": "it takes longer than 0 s to read"
    }


def test_a_pdf_that_unpacks_without_end() -> None:
    head: PageHead = {"url": URL, "media_type": "application/pdf", "is_source": False}
    found = asyncio.run(read_apart(head, make_bomb(100 << 20)))
    assert "PDF cannot be shown" in found["reason"]


def test_a_reader_that_dies_costs_its_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import os, sys; sys.stdin.read(); os.write(2, b'canary'); os.abort()"
    monkeypatch.setattr(apart, "_WORDS", ("-c", code))
    found = asyncio.run(read_apart({"url": URL, "media_type": None, "is_source": False}, b"a"))
    assert found == {"reason": "it cannot be read within the bounds of time and memory"}
    assert "reading a page ended with -6" in caplog.text
    assert "canary" not in caplog.text


def test_one_that_is_cancelled_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_WORDS", ("-c", "import time; time.sleep(1000)"))
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def remember(*words: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await create(*words, **options))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)

    async def cancel() -> None:
        head: PageHead = {"url": URL, "media_type": None, "is_source": False}
        reading = asyncio.create_task(read_apart(head, b"a" * 1_000_000))
        while not started:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert started[0].returncode is not None

    asyncio.run(cancel())


_PIECES = (
    *("<a href='/x'>", "</a>", "<a>", "<p>", "</p>", "<ul>", "<ol>", "<li>", "</ul>", "<pre>"),
    *("</pre>", "<sup>", "</sup>", "<script>", "</script>", "<svg>", "</svg>", "<title>", "<br>"),
    *(
        "</title>",
        "<blockquote>",
        "</blockquote>",
        "text ",
        "【1†x】",
        "†",
        "\n",
        "&#x3010;",
        "&lt;",
    ),
    *(
        "<",
        ">",
        "<!--",
        "-->",
        "<![CDATA[",
        "<![x[",
        "]]>",
        "<img alt='【'>",
        "<td>",
        "<h1>",
        "</h1>",
        "&",
    ),
    *("<base href='http://q/'>", "<textarea>", "</textarea>", "é", "日本語", " <?php ?>", "&#;"),
    *("<a href='http://[::1'>", "<a href='//o.example/†】'>", "=", "'", '"', "https://a.b/c?d "),
)


def test_whatever_a_page_is_made_of() -> None:
    """Each mark in it is a link that there is."""
    seed = random.randrange(10**9)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    for _ in range(500):
        html = "".join(chance.choices(_PIECES, k=chance.randrange(100)))
        found = read(html)
        body = "".join(found["lines"][2:])
        marks = re.findall("【[^【】]*】", body)
        assert body.count("【") == body.count("】") == len(marks), html
        for mark in marks:
            link = re.fullmatch(r"【(\d+)†[^†]+(†[^†]+)?】", mark)
            assert link is not None, html
            assert int(link[1]) < len(found["links"]), html
        assert all(link.startswith(("http://", "https://")) for link in found["links"])
