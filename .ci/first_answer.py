"""Wait for the server that the README's command started, then ask it one question."""

import json
import sys
import time
import urllib.error
import urllib.request

QUESTION = {"model": "mlxoss-demo", "messages": [{"role": "user", "content": "Hello!"}]}
PATIENCE_S = 300


def main(url: str) -> None:
    """Fail unless the server answers a chat request within ``PATIENCE_S``."""
    request = urllib.request.Request(  # noqa: S310 (the caller's own server)
        f"{url}/v1/chat/completions",
        data=json.dumps(QUESTION).encode(),
        headers={"content-type": "application/json"},
    )
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # nosec B310
                body = json.load(answer)
            break
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    sys.stdout.write(json.dumps(body["choices"][0]["message"]) + "\n")
    if not body["choices"][0]["message"]["content"]:
        raise SystemExit("the answer is empty")


if __name__ == "__main__":
    main(sys.argv[1])
