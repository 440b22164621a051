"""The text of a PDF, in a process of its own: ``python -m mlxoss.documents.pdf``.

Whoever sends a PDF wrote a program for the one who reads it. So that one has no more memory and
time than it needs, can be ended at any moment, and takes nothing from the server's own
interpreter, which hands out tokens meanwhile. The file comes on stdin; the pages' texts, or
why there are none, go out as JSON on stdout. Nothing touches the disk.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from pypdf import PdfReader

MOST_PAGES = 1_000
MOST_MEMORY_BYTES = 2 << 30
"""Of addresses: what pypdf unpacks at most (75 MB of a stream) takes several times its size."""

_MOST_PROCESSOR_S = 60


class PdfText(TypedDict):
    """``pages`` are their texts, or ``reason`` is half a sentence about what is wrong."""

    pages: NotRequired[list[str]]
    reason: NotRequired[str]


def main() -> None:
    """Read, bounded; ``argv[1]`` is how many characters there may be."""
    for limit, most in to_limits(sys.platform).items():
        resource.setrlimit(limit, (most, most))
    found = read_pdf(sys.stdin.buffer.read(), int(sys.argv[1]))
    sys.stdout.buffer.write(json.dumps(found).encode())


def to_limits(system: str) -> dict[int, int]:
    """The bounds of the process on ``system`` (``sys.platform``), by the number of their resource.

    Source: XNU's ``dosetrlimit`` counts what is mapped, which are gigabytes of shared libraries
    before anything runs. So on macOS there remain the time, and what pypdf unpacks at most.
    """
    limits = {resource.RLIMIT_CPU: _MOST_PROCESSOR_S}
    return limits if system == "darwin" else {**limits, resource.RLIMIT_AS: MOST_MEMORY_BYTES}


def read_pdf(content: bytes, most_chars: int) -> PdfText:
    """The pages' texts, as far as they are ``most_chars`` together. Never raises for the file."""
    try:
        return _read(content, most_chars)
    except MemoryError:
        return {"reason": "it takes too much memory to read"}
    except Exception as error:  # noqa: BLE001 (a parser of anything fails in any way)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return {"reason": "it is damaged, or no PDF"}


def _read(content: bytes, most_chars: int) -> PdfText:
    from pypdf import PasswordType, PdfReader, filters

    filters.JBIG2DEC_BINARY = None  # images are not looked at, and no program is run for them
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        return {"reason": "it is encrypted, and opens with a password alone"}
    if len(reader.pages) > MOST_PAGES:
        return {"reason": f"it has more than {MOST_PAGES} pages"}
    return _to_text(reader, most_chars)


def _to_text(reader: PdfReader, most_chars: int) -> PdfText:
    pages: list[str] = []
    left = most_chars
    for page in reader.pages:
        text = page.extract_text()
        left -= len(text)
        if left < 0:
            return {"reason": f"it has more than {most_chars} characters of text"}
        pages.append(text.strip())
    if not any(pages):
        return {"reason": "it holds no text, as scanned pages do, and this model sees no images"}
    return {"pages": pages}


if __name__ == "__main__":
    main()
