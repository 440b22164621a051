#!/bin/sh
# A page is read by a process of its own, within bounds; SearXNG and keys are enabled, told and forgotten.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"

. "$(dirname "$0")/../common.sh"

own_folder
MLXOSS_HOME=$folder/home
export MLXOSS_HOME
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

cat >"$folder/try.py" <<'END'
import asyncio
import sys

from mlxoss.hosted.browser.apart import read_apart

URL = "http://site.example/"
HEAD = {"url": URL, "media_type": "text/html", "is_source": False}


async def main() -> None:
    found = await read_apart(HEAD, b"<h1>Lamps</h1><a href='/a'>light</a>")
    if found.get("links") != [URL + "a"]:
        sys.exit(f"a page is not read: {found}")
    hurting = b"<b>x</b>" * 600_000
    found = await read_apart(HEAD, hurting)
    if "lines" not in found:
        sys.exit(f"a long page is not read: {found}")
    reading = asyncio.create_task(read_apart(HEAD, hurting))
    await asyncio.sleep(0.3)
    reading.cancel()
    try:
        await reading
    except asyncio.CancelledError:
        print("pages are read, cut, and left when nobody waits")


asyncio.run(main())
END
read=$("$PYTHON" "$folder/try.py" 2>&1) || wrong "$read"
[ -n "$read" ] || wrong "a page that nobody waits for was read all the same"
if pgrep -f mlxoss.hosted.browser.reading >/dev/null 2>&1; then
    wrong "a process that reads a page is left"
fi

echo secret-of-the-check | "$MLXOSS" tools enable browser --exa >"$folder/out.txt" 2>&1 ||
    wrong "a key is not taken: $(cat "$folder/out.txt")"
"$MLXOSS" tools >>"$folder/out.txt" 2>&1
"$MLXOSS" config list >>"$folder/out.txt" 2>&1
grep -q secret-of-the-check "$folder/out.txt" && wrong "the key is shown"
keys=$(find "$MLXOSS_HOME" -name search-keys.json)
[ -n "$keys" ] || wrong "the key is not kept"
[ -n "$(find "$keys" -perm 600)" ] || wrong "others may read $keys"
"$MLXOSS" tools disable browser >/dev/null 2>&1 || wrong "it cannot be disabled"
[ ! -e "$keys" ] || wrong "the key is not forgotten"
right "$read; a key is kept for its owner and forgotten"
