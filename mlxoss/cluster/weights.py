"""What tells a checkpoint in one place from those in others."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")


def hash_weights(folder: Path) -> str:
    """The SHA-256 of all weights: about a minute for 65 GB. Raises ``OSError``."""
    contents = hashlib.sha256()
    for file in sorted(folder.glob("model*.safetensors")):
        with file.open("rb") as weights:
            contents.update(hashlib.file_digest(weights, "sha256").digest())
    return contents.hexdigest()


def find_commit(folder: Path) -> str | None:
    """The commit of a folder in the Hugging Face cache."""
    held = folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name)
    return folder.name if held else None
