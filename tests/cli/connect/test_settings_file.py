"""How settings files of clients are changed: what is kept, and when they are left alone."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mlxoss.cli.connect.settings_file import Edited, draft_edit, edit_file
from mlxoss.cli.connect.toml_format import Toml
from mlxoss.cli.connect.values import Change, Drop, Put, Settings
from mlxoss.errors import ConfigError

CHANGES: Sequence[Change] = (Put(("a", "b"), "new"), Drop(("a", "old")), Drop(("none", "there")))
OLD = b'# c\nfirst = 1\n\n[a]\nold = true\nb = "old" # c\n'
NEW = b'# c\nfirst = 1\n\n[a]\nb = "new" # c\n'


def edit(file: Path, changes: Sequence[Change] = CHANGES) -> Edited:
    return edit_file(file, Toml(), lambda _: changes)


def copies(file: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in file.parent.glob(f"{file.name}.before-*")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "settings"
    file.write_bytes(OLD)
    return file


def test_a_file_is_changed_and_its_old_texts_stay_beside_it(file: Path) -> None:
    file.chmod(0o640)
    first = edit(file)
    assert file.read_bytes() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert first.backup is not None
    assert stat.S_IMODE(first.backup.stat().st_mode) == 0o600
    assert edit(file).backup is None
    edit(file, [Put(("first",), 2)])
    assert copies(file) == {"settings.before-mlxoss-1": OLD, "settings.before-mlxoss-2": NEW}


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "new/folder/settings"
    assert edit(file).backup is None
    assert file.read_bytes() == b'[a]\nb = "new"\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert copies(file) == {}


def test_a_draft_writes_nothing(file: Path) -> None:
    draft = draft_edit(file, Toml(), lambda _: CHANGES)
    assert (draft.is_change, draft.old, draft.new) == (True, OLD, NEW)
    assert draft.settings == {"first": 1, "a": {"b": "new"}}
    assert [path.name for path in file.parent.iterdir()] == ["settings"]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_the_line_ends_are_kept(file: Path, bom: bytes, end: bytes) -> None:
    file.write_bytes(bom + OLD.replace(b"\n", end))
    edit(file)
    assert file.read_bytes() == bom + NEW.replace(b"\n", end)
    edit(file, [Put(("x", "y"), ["z"])])
    assert file.read_bytes().count(end) == file.read_bytes().count(b"\n")


def test_line_ends_of_two_kinds_are_no_fault(file: Path) -> None:
    file.write_bytes(OLD.replace(b"\n", b"\r\n", 2))
    edit(file)
    assert Toml().read(file.read_text()) == {"first": 1, "a": {"b": "new"}}
    assert b"first = 1\r\n" in file.read_bytes()


def test_a_link_leads_on_to_the_file_that_is_changed(file: Path) -> None:
    (file.parent / "home").mkdir()
    link = file.parent / "home/settings"
    link.symlink_to(Path("../settings"))
    edit(link)
    assert link.is_symlink()
    assert file.read_bytes() == NEW
    assert copies(link) == {"settings.before-mlxoss-1": OLD}
    gone = file.parent / "home/gone"
    gone.symlink_to(file.parent / "dots/settings")
    edit(gone)
    assert gone.is_symlink()
    assert (file.parent / "dots/settings").read_bytes() == b'[a]\nb = "new"\n'


def test_a_change_of_another_program_is_not_lost(file: Path) -> None:
    """It comes after the file was read and before it is replaced."""
    seen: list[Settings] = []

    def wanted(settings: Settings) -> Sequence[Change]:
        seen.append(settings)
        if len(seen) == 1:
            file.write_bytes(OLD + b"theirs = 1\n")
        return CHANGES

    edit_file(file, Toml(), wanted)
    assert file.read_bytes() == NEW + b"theirs = 1\n"
    assert [settings["a"].get("theirs") for settings in seen] == [None, 1]
    assert list(copies(file).values()) == [OLD + b"theirs = 1\n"]


def test_a_file_that_never_rests_is_left_to_the_other_program(file: Path) -> None:
    def wanted(_: Settings) -> Sequence[Change]:
        file.write_bytes(file.read_bytes() + b"#")
        return CHANGES

    with pytest.raises(ConfigError, match="being changed by another program"):
        edit_file(file, Toml(), wanted)
    assert file.read_bytes().startswith(OLD + b"#")
    assert copies(file) == {}


def test_a_text_that_does_not_read_back_is_never_written(file: Path) -> None:
    class Wrong(Toml):
        def propose(self, text: str, changes: Sequence[Change]) -> Iterator[str]:
            yield "is not even ["
            for proposed in super().propose(text, changes):
                yield proposed.replace('"new"', "true")
                yield proposed.replace("first = 1\n", "")

    with pytest.raises(ConfigError, match="cannot change without risk"):
        edit_file(file, Wrong(), lambda _: CHANGES)
    assert file.read_bytes() == OLD
    assert copies(file) == {}


def test_a_value_of_another_kind_is_another_value(file: Path) -> None:
    assert edit(file, [Put(("first",), value=True)]).draft.is_change
    assert b"first = true\n" in file.read_bytes()


def test_a_protected_file_is_left_alone(file: Path) -> None:
    file.chmod(0o400)
    with pytest.raises(ConfigError, match="read-only"):
        edit(file)
    assert file.read_bytes() == OLD
    assert copies(file) == {}
    assert not edit(file, []).draft.is_change


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_left_alone(file: Path) -> None:
    os.chown(file, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        edit(file)
    assert file.read_bytes() == OLD
    assert copies(file) == {}


def test_what_is_no_file_is_left_alone(file: Path) -> None:
    folder = file.parent
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    for path in (folder, folder / "loop", folder / "pipe", file / "below"):
        with pytest.raises(ConfigError, match="cannot be read"):
            edit(path)
    (folder / "link").symlink_to(file / "below")
    with pytest.raises(ConfigError, match="cannot be read"):
        edit(folder / "link")


def test_a_full_disk_leaves_the_old_file(file: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(OLD), resource.RLIM_INFINITY))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(ConfigError, match="cannot be written"):
            edit(file, [Put(("a", "b"), "long" * 100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)
    assert file.read_bytes() == OLD
    assert [path.name for path in file.parent.iterdir()] == ["settings"]


def test_what_is_in_the_way_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"first in .* is not a table"):
        edit(file, [Put(("first", "x"), 1)])
    with pytest.raises(ConfigError, match=r"a in .* is a table"):
        edit(file, [Put(("a",), 1)])
    assert file.read_bytes() == OLD
