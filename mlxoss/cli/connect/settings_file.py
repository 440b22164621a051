"""Changes a client's settings file as its owner would, or refuses and leaves it alone.

Theory of operation. Such a file is another program's, written by hand or by others. In this order:

1. It is read, by a parser that does not edit.
2. What it has to say afterwards is worked out on the values alone.
3. Its format (``Format``) proposes texts that keep comments and order. The first that reads back
   as exactly those values is taken; where none does, the file is refused.
4. The old file is copied beside it, under a name that was free.
5. Unless it changed meanwhile (then all begins again), the new text replaces it whole.

A link stays one: the file that it leads to is replaced. The file keeps its mode, a byte order
mark and its line ends. Between the look of step 5 and the replacing, a moment, another program's
change would be lost.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlxoss.cli.connect.values import Change, InTheWay, Settings, is_same, make
from mlxoss.errors import ConfigError
from mlxoss.files import PRIVATE, make_file, replace_file

_BOM = b"\xef\xbb\xbf"
_ATTEMPTS = 5
_COPY = ".before-mlxoss-"


Wanted = Callable[[Settings], Sequence[Change]]
"""The changes, by what the file says now. May raise ``ConfigError`` to refuse."""


class Format(Protocol):
    """How a file is written: TOML, JSON, YAML."""

    @property
    def name(self) -> str:
        """What errors call it."""

    def read(self, text: str) -> Settings:
        """What it says; text without anything says nothing. Raises ``ValueError`` where wrong."""

    def propose(self, text: str, changes: Sequence[Change]) -> Iterator[str]:
        """Texts with the changes in them, the nicest first. Some may be wrong; there may be none.

        ``text`` can be read, and has plain line ends.
        """


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that is worked out and not written.

    ``target`` is where links from ``file`` lead; ``old`` is ``None`` where there is no file yet;
    ``settings`` is what ``new`` says.
    """

    file: Path
    target: Path
    old: bytes | None
    new: bytes
    settings: Settings

    @property
    def is_change(self) -> bool:
        """Whether anything has to be written."""
        return self.new != self.old


@dataclass(frozen=True, slots=True)
class Edited:
    """What was done; ``backup`` is the copy of the old file, ``None`` where none was needed."""

    draft: Draft
    backup: Path | None


def edit_file(
    file: Path, form: Format, wanted: Wanted, note: Callable[[Draft], bool] | None = None
) -> Edited:
    """Make the changes in ``file``, which is made (mode 0600) if missing.

    ``note`` is told of what is about to be written, and says whether the old file is to be copied.
    Raises ``ConfigError`` for a file that cannot be read, changed or written; it stays as it was.
    """
    for _ in range(_ATTEMPTS):
        draft = draft_edit(file, form, wanted)
        if not draft.is_change:
            return Edited(draft, None)
        has_copy = note is None or note(draft)
        try:
            return Edited(draft, _save(draft, has_copy=has_copy))
        except _Changed:
            continue
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}.") from None
    raise ConfigError(f"{file} is being changed by another program; try again.")


def draft_edit(file: Path, form: Format, wanted: Wanted) -> Draft:
    """Steps 1 to 3. Raises as ``edit_file``."""
    target = Path(os.path.realpath(file))
    try:
        old = _read(target)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    try:
        text = _Text.of(old or b"")
        settings = form.read(text.plain)
        after = deepcopy(settings)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not {form.name} ({error}); mend it first.") from None
    changes = wanted(settings)
    _make(changes, after, file)
    if old is not None and is_same(settings, after):
        return Draft(file, target, old, old, settings)
    for proposed in form.propose(text.plain, changes):
        if _reads_as(proposed, form, after):
            return Draft(file, target, old, text.encode(proposed), after)
    raise ConfigError(
        f"{file} is written in a way that mlxoss cannot change without risk, and is left as it is; "
        "write the settings into it by hand."
    )


def put_back(draft: Draft, *, is_gone: bool, folders: Iterable[Path]) -> None:
    """Replace the file by a text that it had, or remove it and those ``folders`` that are empty.

    No copy is made. Raises as ``edit_file``.
    """
    try:
        mode = _mode_to_have(draft)
        if _read(draft.target) != draft.old:
            raise ConfigError(f"{draft.file} is being changed by another program; try again.")
        if not is_gone:
            replace_file(draft.target, draft.new, mode=mode)
            return
        draft.target.unlink()
    except OSError as error:
        raise ConfigError(f"{draft.file} cannot be written: {error.strerror}.") from None
    with suppress(OSError):  # one that is not empty, and those around it, stay
        for folder in folders:
            folder.rmdir()


def missing_folders(file: Path) -> list[Path]:
    """Those that have to be made for ``file``, the innermost first."""
    around = [*file.parents, *Path(os.path.realpath(file)).parents]
    return [folder for folder in around if not folder.exists()]


def copies_of(file: Path) -> list[Path]:
    """The copies of old files that stand beside ``file``."""
    return sorted(file.parent.glob(f"{glob.escape(file.name)}{_COPY}*"))


@dataclass(frozen=True, slots=True)
class _Text:
    """A file's text with plain line ends, and how the file spells it."""

    plain: str
    has_bom: bool
    has_crlf: bool

    @classmethod
    def of(cls, raw: bytes) -> _Text:
        text = raw.removeprefix(_BOM).decode()
        plain = text.replace("\r\n", "\n")
        has_crlf = 0 < text.count("\r\n") == plain.count("\n")
        return cls(plain if has_crlf else text, raw.startswith(_BOM), has_crlf)

    def encode(self, plain: str) -> bytes:
        text = plain.replace("\n", "\r\n") if self.has_crlf else plain
        return (_BOM if self.has_bom else b"") + text.encode()


class _Changed(Exception):
    """Another program wrote the file in the meantime."""


def _read(target: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(target.stat().st_mode):
            raise OSError(0, "it is not a regular file")
        return target.read_bytes()
    except FileNotFoundError:
        return None


def _make(changes: Sequence[Change], after: Settings, file: Path) -> None:
    """Make the changes in ``after``. Raises ``ConfigError`` where something else is in the way."""
    try:
        make(changes, after)
    except InTheWay as error:
        where = ".".join(str(getattr(key, "value", key)) for key in error.keys)
        raise ConfigError(f"{where} in {file} {error}; mend it first.") from None


def _reads_as(text: str, form: Format, settings: Settings) -> bool:
    try:
        return is_same(form.read(text), settings)
    except (ValueError, RecursionError):
        return False


def _save(draft: Draft, *, has_copy: bool) -> Path | None:
    """Steps 4 and 5; returns where the copy is. If it raises, no copy is left."""
    mode = _mode_to_have(draft)
    if draft.old is None:
        for folder in (draft.file.parent, draft.target.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = _copy(draft.file, draft.old) if has_copy and draft.old is not None else None
    try:
        if _read(draft.target) != draft.old:
            raise _Changed
        replace_file(draft.target, draft.new, mode=mode)
    except BaseException:
        if backup is not None:
            backup.unlink()
        raise
    return backup


def check_writable(draft: Draft) -> None:
    """Raise ``ConfigError`` where it is clear that the file could not be replaced."""
    if draft.is_change:
        _mode_to_have(draft)


def _mode_to_have(draft: Draft) -> int:
    """That of the old file. Raises ``ConfigError`` for one that is not its caller's to replace."""
    if draft.old is None:
        return PRIVATE
    found = draft.target.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{draft.file} belongs to another user; let that user run this.")
    if not found.st_mode & stat.S_IWUSR:
        raise ConfigError(f"{draft.file} is read-only; make it writable first.")
    return stat.S_IMODE(found.st_mode)


def _copy(file: Path, data: bytes) -> Path:
    """Put ``data`` beside ``file``, for its owner alone; earlier copies stay."""
    number = 1
    while not make_file(name := file.with_name(f"{file.name}{_COPY}{number}"), data):
        number += 1
    return name
