#!/bin/sh
# Every dependency comes as a wheel: a fresh install with each Python that is here.
set -u
. "$(dirname "$0")/../common.sh"

root=$(cd "$(dirname "$0")/../../.." && pwd)
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

try() {
    # A shim of pyenv's may stand for a Python that is not chosen.
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return
    "$1" -m venv "$folder/$version" || wrong "Python $version makes no virtual environment"
    pip=$folder/$version/bin/pip
    "$pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-binary=mlxoss \
        "$root" >"$folder/pip.txt" 2>&1 || wrong "Python $version: $(tail -n 5 "$folder/pip.txt")"
    "$folder/$version/bin/python" - <<'END' || wrong "Python $version: what was installed fails"
import pathlib
import platform
from importlib import metadata

import mlx.core
import mlxoss.cli.main
import mlxoss.engine.mlx.batch

name = "mlx-metal" if platform.system() == "Darwin" else "mlx-cpu"
wheel = metadata.distribution(name).read_text("WHEEL") or ""
(tag, *_) = [line for line in wheel.splitlines() if line.startswith("Tag:")]
print(f"Python {platform.python_version()}: {name} {metadata.version(name)}, {tag}; "
      f"it sees system {platform.mac_ver()[0] or platform.release()}")
END
    "$folder/$version/bin/mlxoss" --version || wrong "Python $version: no mlxoss command"
    if command -v plutil >/dev/null; then
        "$folder/$version/bin/mlxoss" plist >"$folder/agent.plist"
        plutil -lint -s "$folder/agent.plist" || wrong "Python $version: the launch agent is no plist"
    fi
    rm -rf "${folder:?}/$version"
    right "Python $version"
}

if [ -n "${ONLY_PYTHON:-}" ]; then
    try "$ONLY_PYTHON"
else
    found=no
    for name in python3.11 python3.12 python3.13 python3.14; do
        command -v "$name" >/dev/null || continue
        found=yes
        try "$name"
    done
    [ "$found" = yes ] || try "$PYTHON"
fi
