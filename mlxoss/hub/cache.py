"""What the Hub says of a model, and the cache that its files go to.

Weights are fetched here rather than by ``snapshot_download``, which throws a partial
file away when it is interrupted; once a weight is among the cache's blobs,
``snapshot_download`` takes it from there and does the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    HfApi,
    constants,
    hf_hub_download,
    hf_hub_url,
    scan_cache_dir,
    snapshot_download,
)
from huggingface_hub.errors import CacheNotFound
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers, tqdm  # type: ignore[attr-defined]

from mlxoss.errors import ModelError
from mlxoss.files import take_lock
from mlxoss.model_pins import Pin

_SUFFIXES = (".json", ".safetensors")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model. ``sha256`` is known for large files (weights) only."""

    name: str
    size_bytes: int
    blob: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a model consists of at one commit: the files that mlxoss can use."""

    name: str
    commit: str
    files: tuple[HubFile, ...]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine. ``size_bytes`` is ``None`` where that says nothing.

    ``commit`` is ``None`` for the bundled demo; ``pinned`` says that the daemon loads
    this commit; ``complete`` that there are weights at all.
    """

    name: str
    commit: str | None
    size_bytes: int | None
    gpt_oss: bool
    complete: bool
    pinned: bool


class Hub:
    """The Hub that ``HF_ENDPOINT`` names and its local cache (``HF_HOME``)."""

    def __init__(self) -> None:
        self.cache = Path(constants.HF_HUB_CACHE).expanduser()
        self.endpoint = constants.ENDPOINT

    def describe(self, name: str, revision: str) -> Snapshot:
        """Ask for the commit behind ``revision`` and its files."""
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
        files = tuple(
            HubFile(
                name=found.rfilename,
                size_bytes=found.size or 0,
                blob=(found.lfs.sha256 if found.lfs else found.blob_id) or "",
                sha256=found.lfs.sha256 if found.lfs else None,
            )
            for found in info.siblings or []
            if found.rfilename.endswith(_SUFFIXES) and "/" not in found.rfilename
        )
        return Snapshot(name, info.sha or revision, files)

    def read_config(self, snapshot: Snapshot) -> object:
        """The model's ``config.json``, fetched unless it is in the cache."""
        path = hf_hub_download(
            snapshot.name, "config.json", revision=snapshot.commit, tqdm_class=_NoBar
        )
        return _read_json(Path(path))

    def to_fetch_bytes(self, snapshot: Snapshot) -> int:
        """How much of ``snapshot`` is not in the cache yet, partial files taken into account."""
        blobs = self._folder(snapshot.name) / "blobs"
        missing = (file for file in snapshot.files if not (blobs / file.blob).exists())
        return sum(file.size_bytes - _size(_partial(blobs / file.blob)) for file in missing)

    def free_bytes(self) -> int:
        """Free space where the cache is (or will be)."""
        existing = next(path for path in (self.cache, *self.cache.parents) if path.exists())
        return shutil.disk_usage(existing).free

    def fetch(self, snapshot: Snapshot) -> Path:
        """Bring every file of ``snapshot`` into the cache; return its folder.

        Takes up what an earlier call left half done. Raises ``ModelError`` for a file
        whose hash is wrong, and when another process fetches the same model.
        """
        with self._alone(snapshot.name):
            for file in snapshot.files:
                if file.sha256 is not None:
                    self._fetch_large(snapshot, file, file.sha256)
            names = [file.name for file in snapshot.files]
            return Path(
                snapshot_download(
                    snapshot.name,
                    revision=snapshot.commit,
                    allow_patterns=names,
                    tqdm_class=_NoBar,
                )
            )

    def cached(self, pins: Mapping[str, Pin]) -> list[LocalModel]:
        """Every model revision in the cache, by name."""
        try:
            repos = scan_cache_dir(self.cache).repos
        except CacheNotFound:
            return []
        found = [
            LocalModel(
                name=repo.repo_id,
                commit=revision.commit_hash,
                size_bytes=revision.size_on_disk,
                gpt_oss=is_gpt_oss(_read_json(revision.snapshot_path / "config.json")),
                complete=any(revision.snapshot_path.glob("*.safetensors")),
                pinned=repo.repo_id in pins and pins[repo.repo_id].commit == revision.commit_hash,
            )
            for repo in repos
            if repo.repo_type == "model"
            for revision in repo.revisions
        ]
        return sorted(found, key=lambda model: (model.name.lower(), model.commit or ""))

    def _folder(self, name: str) -> Path:
        return self.cache / repo_folder_name(repo_id=name, repo_type="model")

    def _fetch_large(self, snapshot: Snapshot, file: HubFile, sha256: str) -> None:
        blob = self._folder(snapshot.name) / "blobs" / file.blob
        if blob.exists():
            return
        blob.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(blob)
        if _size(partial) > file.size_bytes:
            partial.unlink()
        with partial.open("ab") as stream:
            http_get(
                hf_hub_url(snapshot.name, file.name, revision=snapshot.commit),
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=file.size_bytes,
                displayed_filename=file.name,
            )
        with partial.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != sha256:
            partial.unlink()
            raise ModelError(f"{file.name} arrived damaged (its SHA-256 is wrong); pull again.")
        partial.replace(blob)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keep other mlxoss processes from appending to the same partial files."""
        folder = self.cache / ".locks" / self._folder(name).name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = take_lock(folder / "mlxoss.lock", limit_s=0.0)
        except BlockingIOError:
            raise ModelError(f"Another mlxoss is pulling {name} at this moment.") from None
        try:
            yield
        finally:
            os.close(lock)


def is_gpt_oss(config: object) -> bool:
    """Whether the content of a ``config.json`` is that of a model mlxoss serves."""
    return isinstance(config, dict) and config.get("model_type") == "gpt_oss"


def _read_json(path: Path) -> object:
    try:
        value: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value


def _partial(blob: Path) -> Path:
    # The ending lets the Hub's own tools find and prune what was never finished.
    return blob.with_name(f"{blob.name}.mlxoss.incomplete")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _NoBar(tqdm):
    """No progress bar: small files take no time."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
