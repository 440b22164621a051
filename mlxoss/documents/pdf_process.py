"""Runs the process that reads a PDF."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from mlxoss.documents.pdf import PdfText

logger = logging.getLogger(__name__)

MOST_S = 60.0
_SHOWN_CHARS = 300


def read_pdf_apart(content: bytes, most_chars: int, most_s: float = MOST_S) -> PdfText:
    """The PDF's text, or why there is none. Blocks for ``most_s`` at most; any thread."""
    words = [sys.executable, "-P", "-m", "mlxoss.documents.pdf", str(most_chars)]
    try:
        done = subprocess.run(
            words, input=content, capture_output=True, timeout=most_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"it takes longer than {most_s:.0f} s to read"}
    except OSError as error:
        logger.warning("no process could be started to read a PDF: %s", error)
        return {"reason": "nothing could be started to read it"}
    try:
        found: PdfText = json.loads(done.stdout)
    except ValueError:
        told = done.stderr.decode(errors="replace")[-_SHOWN_CHARS:]
        logger.warning("reading a PDF ended with %d: %s", done.returncode, told)
        return {"reason": "it cannot be read within the bounds of time and memory"}
    return found
