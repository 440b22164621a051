"""Folders that macOS closes to services: which they are, and what it means for each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.config import Config
from mlxoss.denied import PRIVACY
from mlxoss.findings import Level
from mlxoss.service.guarded import check_folders, closed_place

HOME = Path("/Users/you")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/Users/you/Documents/m", "~/Documents"),
        ("/Users/you/Desktop", "~/Desktop"),
        ("/Users/you/downloads/m", "~/Downloads"),  # APFS takes it for the same
        ("/Users/you/Library/Mobile Documents/com~apple~CloudDocs/m", "~/Library/Mobile Documents"),
        ("/Users/you/Library/CloudStorage/Dropbox/m", "~/Library/CloudStorage"),
        ("/Volumes/SSD/hf", "/Volumes/SSD"),
        ("/Volumes/SSD", "/Volumes/SSD"),
        ("/Users/you/models/Documents/m", None),
        ("/Users/you/DocumentsOld/m", None),
        ("/Users/other/Documents/m", None),
        ("/Users/you/.cache/huggingface", None),
        ("/opt/homebrew/bin/mlxoss", None),
    ],
)
def test_which_are_closed(path: str, place: str | None) -> None:
    assert closed_place(Path(path), HOME) == place


def test_links_into_them_count(tmp_path: Path) -> None:
    (tmp_path / "Documents" / "m").mkdir(parents=True)
    (tmp_path / "m").symlink_to("Documents/m")
    assert closed_place(tmp_path / "m" / "config.json", tmp_path) == "~/Documents"
    (tmp_path / "home").symlink_to(tmp_path)
    assert closed_place(tmp_path / "home" / "Documents" / "m", tmp_path) == "~/Documents"
    # The disk of the system is a link among the volumes.
    (tmp_path / "disk").symlink_to("/Volumes/SSD/m")
    assert closed_place(tmp_path / "disk", tmp_path) == "/Volumes/SSD"


def levels(config: Config, env: dict[str, str]) -> list[tuple[Level, str]]:
    found = list(check_folders(config, env, HOME))
    for check in found:
        assert check.name == "folders"
        assert (check.remedy is None) is (check.level is Level.OK)
    return [(check.level, check.detail.partition(" /")[0]) for check in found]


def test_what_the_daemon_reads_is_warned_of() -> None:
    away = Path("/Volumes/SSD")
    own = {"MLXOSS_HOME": "/Users/you/.mlxoss"}
    assert levels(Config(), own) == [(Level.OK, "none lies where macOS lets no service read")]
    config = Config(
        model="/Volumes/SSD/m",
        log_file=away / "log",
        tls_cert=away / "cert",
        tls_key=away / "key",
        hostfile=away / "hosts",
    )
    named = ("model", "log_file", "tls_cert", "tls_key", "hostfile")
    assert sorted(levels(config, own)) == sorted((Level.WARN, name) for name in named)
    cache = {**own, "HF_HOME": "/Volumes/SSD/hf"}
    assert levels(Config(), cache) == levels(Config(), own)  # the demo is read from elsewhere
    found = levels(Config(model="some-org/tiny"), cache)
    assert found == [(Level.WARN, "the models' cache (HF_HOME)")]
    found = levels(Config(), {**own, "MLXOSS_CONFIG": "/Volumes/SSD/config.toml"})
    assert found == [(Level.WARN, "the settings")]
    found = levels(Config(), {"XDG_CACHE_HOME": "/Volumes/SSD/cache"})
    assert found == [(Level.WARN, "the prefix cache")]


def test_what_launchd_opens_fails() -> None:
    found = list(check_folders(Config(), {"MLXOSS_HOME": "/Volumes/SSD/own"}, HOME))
    failed = [check.detail for check in found if check.level is Level.FAIL]
    assert [detail.partition(" /")[0] for detail in failed] == [
        "the working folder",
        "launchd's log in",
    ]
    warned = [check for check in found if check.level is Level.WARN]
    assert all(PRIVACY in (check.remedy or "") for check in warned)
