"""Writes our settings into a client's file so that they can be taken out again.

Theory of operation. A record (``Record``) holds the file as it was before us, and as we left it.

- Where the file still is what we wrote, what was before is put back, byte for byte; where there
  was none, it goes, and so do the folders that were made for it.
- Where others changed it since, three texts are compared: before us, by us, now. What is ours alone
  goes; a value that we replaced, and that still is ours, becomes what it was; all else stays.
- Where there is no record (it was lost, or another tool wrote it), what is ours alone goes.

Writing a second time makes a new record, of what undoing the first would leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from mlxoss.cli.connect.records import Record, keep_record, read_records
from mlxoss.cli.connect.settings_file import (
    Draft,
    Edited,
    Format,
    Wanted,
    copies_of,
    draft_edit,
    edit_file,
    missing_folders,
    put_back,
)
from mlxoss.cli.connect.values import Change, Drop, Keys, Put, Settings, leaves, look, make

_NAME = "mlxoss"


@dataclass(frozen=True, slots=True)
class SettingsPart:
    """Our part of a file: the table or element that is our ``own``, and what is ``wanted``.

    ``own`` is ``None`` where all is put among others' settings, and empty where the file is ours.
    """

    file: Path
    form: Format
    own: Keys | None
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Removal:
    """What taking our part out comes to. The file ``is_gone`` afterwards where we had made it."""

    draft: Draft
    is_gone: bool


def write_part(part: SettingsPart, state: Path) -> Edited:
    """Write it, with a record in the folder ``state``. Raises as ``edit_file``, ``StoreError``.

    A file that is as we left it is not copied again.
    """
    folders = tuple(map(str, missing_folders(part.file)))

    def note(draft: Draft) -> bool:
        record = read_records(state).get(str(draft.target))
        is_ours = record is not None and draft.old == record.after.encode()
        made = record.folders if record else folders
        before = _without_ours(draft, part, record)
        keep_record(state, draft.target, Record(before, draft.new.decode(), made))
        return not is_ours

    return edit_file(part.file, part.form, part.wanted, note)


def remove_part(part: SettingsPart, state: Path, *, is_dry: bool = False) -> Removal:
    """Take it out; a dry run only works it out. Raises as ``write_part``."""
    draft = draft_edit(part.file, part.form, lambda _: ())
    record = read_records(state).get(str(draft.target))
    is_as_left = record is not None and draft.old == record.after.encode()
    if draft.old is None:
        removal = Removal(draft, is_gone=False)
    elif is_as_left or part.own == ():
        kept = record or Record(None, "", ())
        removal = _to_the_byte(draft, kept, part.form)
        if not is_dry:
            put_back(removal.draft, is_gone=removal.is_gone, folders=map(Path, kept.folders))
            _discard_copies(removal.draft)
    else:
        edit = draft_edit if is_dry else _edited
        removal = Removal(edit(part.file, part.form, lambda now: undoing(part, record, now)), False)
    if record is not None and not is_dry:
        keep_record(state, draft.target, None)
    return removal


def undoing(part: SettingsPart, record: Record | None, now: Settings) -> Sequence[Change]:
    """The changes that take our part out of what the file says ``now``."""
    before = part.form.read(_plain(record.before) if record else "")
    changes: list[Change] = []
    if part.own is not None and look(now, part.own) is not None:
        changes += [Drop(part.own), *_leaves_of(before, part.own)]
    for keys in _shared(part, record, before, now):
        changes += [*_leaves_of(before, keys)] or [Drop(keys)]
    left = deepcopy(now)
    make(changes, left)
    return [*changes, *_emptied(changes, before, left)]


def _leaves_of(settings: Settings, keys: Keys) -> Iterator[Put]:
    """What puts the value there that ``settings`` have; nothing where they have none."""
    if (value := look(settings, keys)) is not None:
        yield from leaves(value, keys)


def _shared(
    part: SettingsPart, record: Record | None, before: Settings, now: Settings
) -> Iterator[Keys]:
    """Where our values stand among others' settings, and still are as we put them.

    Without a record they are told by our name, and what was put beside one goes with it.
    """
    wanted = [each.keys for each in part.wanted(before if record else now) if isinstance(each, Put)]
    shared = [keys for keys in wanted if part.own is None or keys[: len(part.own)] != part.own]
    if record is not None:
        after = part.form.read(_plain(record.after))
        yield from (keys for keys in shared if look(now, keys) == look(after, keys) is not None)
    elif any(str(look(now, keys)).partition("/")[0] == _NAME for keys in shared):
        yield from (keys for keys in shared if look(now, keys) is not None)


def _emptied(changes: Sequence[Change], before: Settings, left: Settings) -> Iterator[Drop]:
    """The tables that were not there before us, and have nothing in them any more."""
    for change in changes:
        for depth in range(len(change.keys) - 1, 0, -1):
            around = change.keys[:depth]
            if look(left, around) in ({}, []) and look(before, around) is None:
                make([Drop(around)], left)
                yield Drop(around)


def _edited(file: Path, form: Format, wanted: Wanted) -> Draft:
    return edit_file(file, form, wanted).draft


def _without_ours(draft: Draft, part: SettingsPart, record: Record | None) -> str | None:
    """The file as undoing would leave it now."""
    if draft.old is None or record is None:
        return None if draft.old is None else draft.old.decode()
    if draft.old == record.after.encode():
        return record.before
    if part.own == ():
        return record.before
    return draft_edit(part.file, part.form, lambda now: undoing(part, record, now)).new.decode()


def _to_the_byte(draft: Draft, record: Record, form: Format) -> Removal:
    settings = form.read(_plain(record.before))
    new = (record.before or "").encode()
    restored = Draft(draft.file, draft.target, draft.old, new, settings)
    return Removal(restored, is_gone=record.before is None)


def _plain(text: str | None) -> str:
    return (text or "").removeprefix("\ufeff").replace("\r\n", "\n")


def _discard_copies(draft: Draft) -> None:
    """Those of what stands in the file again are of no more use."""
    for copy in copies_of(draft.file):
        if copy.read_bytes() == draft.new:
            copy.unlink()
