"""``mcp.json``: the forms that other clients have, and what is wrong in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxoss.findings import Level
from mlxoss.hosted.mcp.checks import check_mcp
from mlxoss.hosted.mcp.server import AddressServer, CommandServer, from_message, to_message
from mlxoss.hosted.mcp.settings_file import McpFile, read_mcp_file

TOKEN = "canary-7f3a91c2"
ENV = {"TOKEN": TOKEN, "HOME": "/home/somebody", "EMPTY": "", "ODD": "${TOKEN}"}


def read(folder: Path, document: object) -> McpFile:
    path = folder / "mcp.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_mcp_file(path, ENV)


def read_one(folder: Path, entry: object, label: str = "one") -> McpFile:
    return read(folder, {"mcpServers": {label: entry}})


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert read_mcp_file(tmp_path / "mcp.json", ENV) == McpFile()


def test_both_forms_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "mcpServers": {
                "files": {"command": "npx", "args": ["-y", "server"], "env": {"B": "2", "A": "1"}},
                "web": {"url": "https://a.example/mcp", "headers": {"X-Key": "k"}},
                "off": {"command": "npx", "disabled": True},
            },
            "servers": {
                "typed": {"type": "http", "url": "http://127.0.0.1:1/mcp"},
                "old": {"type": "sse", "url": "http://127.0.0.1:1/sse"},
                "program": {"type": "stdio", "command": "a", "cwd": "/tmp"},
            },
        },
    )
    assert found.problems == found.notes == ()
    assert list(found.servers.values()) == [
        CommandServer("files", "npx", ("-y", "server"), (("A", "1"), ("B", "2"))),
        AddressServer("web", "https://a.example/mcp", (("X-Key", "k"),)),
        AddressServer("typed", "http://127.0.0.1:1/mcp"),
        AddressServer("old", "http://127.0.0.1:1/sse", kind="sse"),
        CommandServer("program", "a", cwd="/tmp"),
    ]
    for server in found.servers.values():
        assert from_message(json.loads(json.dumps(to_message(server)))) == server


def test_variables_have_their_values(tmp_path: Path) -> None:
    found = read_one(
        tmp_path,
        {
            "command": "${userHome}/bin/a",
            "args": ["--token=${TOKEN}", "${env:TOKEN}", "${NONE:-else}", "${EMPTY:-}", "$HOME"],
            "env": {"ODD": "${ODD}"},
        },
    )
    server = found.servers["one"]
    assert isinstance(server, CommandServer)
    assert server.command == "/home/somebody/bin/a"
    assert server.args == (f"--token={TOKEN}", TOKEN, "else", "", "$HOME")
    assert server.env == (("ODD", "${TOKEN}"),)  # a value is not looked through again


WRONG: list[tuple[object, str]] = [
    ([], "must be an object"),
    ({}, "needs either 'command' or 'url'"),
    ({"command": "a", "url": "http://a"}, "needs either 'command' or 'url'"),
    ({"command": 7}, "must have a text in 'command'"),
    ({"command": " "}, "has an empty 'command'"),
    ({"command": "a\0"}, "must have a text in 'command'"),
    ({"command": "a", "args": "b"}, "must have a list in 'args'"),
    ({"command": "a", "args": ["b", 7]}, "must have a text in 'args[1]'"),
    ({"command": "a", "env": []}, "must have an object in 'env'"),
    ({"command": "a", "env": {"X": 7}}, "must have a text in 'env.X'"),
    ({"command": "a", "env": {"X": "${NONE}"}}, "in 'env.X' what needs the variable NONE"),
    ({"command": "a", "args": ["${input:key}"]}, "in 'args[0]' what asks for ${input:key}"),
    ({"command": "a", "cwd": "here"}, "has in 'cwd' no absolute path"),
    ({"command": "a", "type": "http"}, "has in 'type'"),
    ({"url": "http://a", "type": "stdio"}, "has in 'type'"),
    ({"url": "http://a", "type": "smoke"}, "has in 'type'"),
    ({"url": "file:///etc/passwd"}, "has in 'url' no http or https address"),
    ({"url": "http://a:99999"}, "has in 'url' no http or https address"),
    ({"url": "http://a", "headers": {"A b": "c"}}, "has in 'headers.A b' what no header can be"),
    ({"url": "http://a", "headers": {"A": "b\nC: d"}}, "in 'headers.A' what no header can be"),
]


@pytest.mark.parametrize(("entry", "part"), WRONG)
def test_what_is_wrong_is_named_and_the_others_work(
    tmp_path: Path, entry: object, part: str
) -> None:
    found = read(tmp_path, {"mcpServers": {"one": entry, "other": {"command": "a"}}})
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'mcp.json'}: server 'one' ")
    assert part in problem
    assert list(found.servers) == ["other"]


@pytest.mark.parametrize("label", ["", "a b", "7", "a" * 65, "ä"])
def test_labels_are_those_that_requests_can_name(tmp_path: Path, label: str) -> None:
    found = read_one(tmp_path, {"command": "a"}, label)
    assert "must be named by a letter" in found.problems[0]
    assert not found.servers


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "no JSON (Expecting"),
        ('{"mcpServers": {},}', "line 1, column 19"),
        ("[]", "must be an object"),
        ("{}", "'mcpServers' is missing"),
        ('{"mcpServers": []}', "'mcpServers' must be an object"),
        (" " * (2 << 20), "longer than"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str, part: str) -> None:
    (problem,) = read(tmp_path, text).problems
    assert part in problem


def test_what_does_nothing_is_told(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"inputs": [], "mcpServers": {"one": {"command": "a", "timeout": 5, "alwaysAllow": []}}},
    )
    assert found.problems == ()
    assert [note.partition(": ")[2] for note in found.notes] == [
        "server 'one': 'alwaysAllow', 'timeout' does nothing here.",
        "'inputs' does nothing here.",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "a", "args": [TOKEN], "env": {"X": TOKEN}},
        {"url": f"https://user:{TOKEN}@a.example/{TOKEN}?k={TOKEN}", "headers": {"A": TOKEN}},
        {"command": 7, "env": {"X": TOKEN}},
        {"url": f"ftp://{TOKEN}"},
    ],
)
def test_nothing_shows_a_secret(tmp_path: Path, entry: Any) -> None:
    found = read_one(tmp_path, entry)
    shown = [server.shown for server in found.servers.values()]
    assert TOKEN not in f"{found} {shown}"


def checks(home: Path, document: object, mode: int = 0o600) -> list[tuple[Level, str]]:
    """What doctor says."""
    path = home / "config" / "mcp.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    path.chmod(mode)
    found = check_mcp({"MLXOSS_HOME": str(home), "PATH": "/usr/bin:/bin"})
    return [(check.level, check.detail) for check in found]


def test_doctor_looks_at_them(tmp_path: Path) -> None:
    fine = {"command": "sh"}
    assert checks(tmp_path, {"mcpServers": {"one": fine}}) == [
        (Level.OK, "one; `mlxoss mcp check` asks them")
    ]
    (found,) = checks(tmp_path, {"mcpServers": {"one": fine, "two": {"command": "no-such-thing"}}})
    assert found == (Level.FAIL, "the command of two is not found: no-such-thing")
    first, second = checks(tmp_path, {"mcpServers": {"one": fine}}, 0o644)
    assert (first[0], second[0]) == (Level.WARN, Level.OK)
    assert "others may read it" in first[1]
    (found,) = checks(tmp_path, {"mcpServers": {}})
    assert found[0] is Level.WARN
    (found,) = checks(tmp_path, {"mcpServers": {"one": {}}})
    assert found[0] is Level.FAIL
