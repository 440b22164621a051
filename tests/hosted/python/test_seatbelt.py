"""The profile for macOS, as far as Linux can judge it; ``tests/mac/checks/sandbox.sh`` runs it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlxoss
from mlxoss.hosted.python.interpreter import find_interpreter
from mlxoss.hosted.python.seatbelt import make_profile, make_rules, sandbox_command

PROGRAM = Path("/opt/homebrew/bin/python3.13")
Form = str | list["Form"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / 'a "quoted" \\ folder'
    folder.mkdir()
    return folder


@pytest.fixture
def readable(tmp_path: Path) -> list[Path]:
    library, file = tmp_path.resolve() / "lib", tmp_path.resolve() / "one.dylib"
    library.mkdir()
    file.touch()
    return [library, file]


def parse(text: str) -> list[Form]:
    """The profile's forms: lists in parentheses, words, strings in quotes, comments."""
    words: Iterator[str] = iter(
        re.findall(r'"(?:[^"\\]|\\.)*"|[()]|[^\s()";]+', re.sub(r"^;.*$", "", text, flags=re.M))
    )

    def forms() -> Iterator[Form]:
        for word in words:
            if word == ")":
                return
            yield list(forms()) if word == "(" else word

    return list(forms())


def rules(text: str, action: str) -> list[list[Form]]:
    return [form[1:] for form in parse(text) if isinstance(form, list) and form[0] == action]


def test_it_begins_by_denying_all(readable: list[Path], own: Path) -> None:
    forms = parse(make_profile(PROGRAM, readable, own))
    assert forms[:3] == [["version", "1"], ["deny", "default"], ["deny", "process-fork"]]


def test_it_allows_these_and_nothing_else(readable: list[Path], own: Path) -> None:
    allowed = rules(make_profile(PROGRAM, readable, own), "allow")
    operations = [word for rule in allowed for word in rule if isinstance(word, str)]
    assert set(operations) == {
        *("process-exec", "signal", "process-info*", "sysctl-read", "file-read*"),
        *("file-read-metadata", "file-map-executable", "file-write-data", "file-write*"),
    }
    for rule in allowed:
        filters = [each for each in rule if isinstance(each, list)]
        assert filters, f"{rule} holds for everything"
        for each in filters:
            assert each[0] in {"literal", "subpath", "target", "sysctl-name", "sysctl-name-prefix"}


def test_only_the_own_folder_and_two_devices_can_be_written(
    readable: list[Path], own: Path
) -> None:
    quoted = '"' + str(own).replace("\\", "\\\\").replace('"', '\\"') + '"'
    writes = [
        [each for each in rule if isinstance(each, list)]
        for rule in rules(make_profile(PROGRAM, readable, own), "allow")
        if any(isinstance(word, str) and word.startswith("file-write") for word in rule)
    ]
    devices = [["literal", '"/dev/null"'], ["literal", '"/dev/zero"']]
    assert writes == [devices, [["subpath", quoted]]]


def test_what_the_default_leaves_open_is_denied_before_anything_is_allowed(
    readable: list[Path], own: Path
) -> None:
    forms = [form for form in parse(make_profile(PROGRAM, readable, own)) if isinstance(form, list)]
    first = next(index for index, form in enumerate(forms) if form[0] == "allow")
    denied = [word for form in forms[:first] for word in form[1:] if isinstance(word, str)]
    assert {"sysctl-read", "process-info*", "iokit-get-properties", "system-fcntl"} <= {*denied}
    assert ["deny", "system-fcntl", ["fcntl-command", "42", "80", "110"]] in forms[:first]


def test_the_own_folder_itself_stays_and_has_no_links(readable: list[Path], own: Path) -> None:
    quoted = '"' + str(own).replace("\\", "\\\\").replace('"', '\\"') + '"'
    # The last rule counts, so these stand behind what is allowed.
    assert parse(make_profile(PROGRAM, readable, own))[-4:] == [
        ["deny", "file-write-unlink", ["literal", quoted]],
        ["deny", "file-write-create", ["vnode-type", "SYMLINK"]],
        ["deny", "file-link"],
        ["deny", "file-write-acl"],
    ]


def test_only_what_is_listed_can_be_read(readable: list[Path], own: Path) -> None:
    reads = [
        each
        for rule in rules(make_profile(PROGRAM, readable, own), "allow")
        if rule[0] == "file-read*" and len(rule) > 1
        for each in rule[1:]
        if isinstance(each, list)
    ]
    assert ["subpath", f'"{readable[0]}"'] in reads
    assert ["literal", f'"{readable[1]}"'] in reads
    assert ["subpath", '"/"'] not in reads
    assert ["subpath", f'"{readable[0].parent}"'] not in reads
    assert ["literal", '"/"'] in reads


def test_one_program_can_be_run(readable: list[Path], own: Path) -> None:
    (runs,) = [
        rule
        for rule in rules(make_profile(PROGRAM, readable, own), "allow")
        if rule[0] == "process-exec"
    ]
    assert runs == ["process-exec", ["literal", f'"{PROGRAM}"']]


def test_paths_are_walked_and_not_listed(readable: list[Path], own: Path) -> None:
    (walked,) = [
        rule
        for rule in rules(make_profile(PROGRAM, readable, own), "allow")
        if rule[0] == "file-read-metadata"
    ]
    for parent in own.parents:
        assert ["literal", f'"{parent}"'] in walked
    assert all(each[0] == "literal" for each in walked[1:])


def test_every_rule_has_a_reason(readable: list[Path], own: Path) -> None:
    made = make_rules(PROGRAM, readable, own)
    assert all(rule.reason for rule in made)
    text = make_profile(PROGRAM, readable, own)
    assert all(f"; {rule.reason}\n{rule.text}" in text for rule in made)


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "a\x1bb"])
def test_paths_that_a_profile_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        make_profile(PROGRAM, [], tmp_path / name)


@pytest.mark.parametrize("name", ['a") (allow default) ("', "a\\", '"', "a;b", "(subpath"])
def test_no_path_becomes_a_rule(tmp_path: Path, name: str) -> None:
    plain = parse(make_profile(PROGRAM, [], tmp_path / "plain"))
    odd = parse(make_profile(PROGRAM, [], tmp_path / name))
    assert [len(form) for form in odd] == [len(form) for form in plain]
    assert ["allow", "default"] not in odd


def test_the_command_is_apples_own(own: Path) -> None:
    command = sandbox_command("(version 1)", ["python", "-c", "1"])
    assert command == ["/usr/bin/sandbox-exec", "-p", "(version 1)", "python", "-c", "1"]


def test_on_a_mac_its_own_libraries_can_be_read_and_no_home_can() -> None:
    found = find_interpreter("darwin")
    assert Path("/System/Library") in found.readable
    for path in found.readable:
        assert path.is_absolute()
        assert path not in (Path("/"), Path.home(), Path.home().parent, Path("/usr"))


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_environment_of_this_package_cannot_be_read(platform: str) -> None:
    ours = Path(mlxoss.__file__).resolve().parent
    packages = Path(pytest.__file__).resolve().parent
    for path in find_interpreter(platform).readable:
        assert not ours.is_relative_to(path)
        assert sys.prefix == sys.base_prefix or not packages.is_relative_to(path)
        assert sys.prefix == sys.base_prefix or not path.is_relative_to(Path(sys.prefix).resolve())
