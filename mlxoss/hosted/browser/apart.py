"""Runs the process that reads a page."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE

from mlxoss.hosted.browser.reading import PageHead, Reading

logger = logging.getLogger(__name__)

MOST_S = 20.0
_WORDS = ("-P", "-m", "mlxoss.hosted.browser.reading")


async def read_apart(head: PageHead, data: bytes, most_s: float = MOST_S) -> Reading:
    """The page, or why it cannot be read within ``most_s``. Cancelled, it leaves no process."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *_WORDS, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
    except OSError as error:
        logger.warning("no process could be started to read a page: %s", error)
        return {"reason": "nothing could be started to read it"}
    try:
        async with asyncio.timeout(most_s):
            out, _ = await process.communicate(json.dumps(head).encode() + b"\n" + data)
    except TimeoutError:
        return {"reason": f"it takes longer than {most_s:.0f} s to read"}
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    try:
        found: Reading = json.loads(out)
    except ValueError:
        # What it said may be the page's own words, which go into no log.
        logger.warning("reading a page ended with %s", process.returncode)
        return {"reason": "it cannot be read within the bounds of time and memory"}
    return found
