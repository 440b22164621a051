"""Asks a server for streamed answers, again and again, and counts how they ended.

    python load.py PORT FILE

Asks while FILE exists. An answer is ``whole``, or ``refused`` before its first byte (nobody
listens, or the server is leaving), or ``broken``: it began and did not end. Exit status 1 if any
is broken.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

_THREADS = 4
_PAUSE_S = 0.2
_ASKED = {
    "model": "any",
    "stream": True,
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "Hello!"}],
}


def main(port: int, while_it_exists: Path) -> int:
    """Print the counts; the exit status."""
    counts: Counter[str] = Counter()

    def ask_on() -> None:
        while while_it_exists.exists():
            counts[ask(port)] += 1
            time.sleep(_PAUSE_S)

    threads = [threading.Thread(target=ask_on) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(" ".join(f"{name} {counts[name]}" for name in ("whole", "refused", "broken")))
    sys.stdout.write("\n")
    return 1 if counts["broken"] else 0


def ask(port: int) -> str:
    """How one answer ended."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    began = False
    try:
        body = json.dumps(_ASKED)
        connection.request(
            "POST", "/v1/chat/completions", body, {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        if response.status != http.client.OK:
            return "refused"
        began = True
        return "whole" if b"data: [DONE]" in response.read() else "broken"
    except (OSError, http.client.HTTPException):
        return "broken" if began else "refused"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
