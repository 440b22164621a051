"""What ``mlxoss codex`` prints and writes."""

from __future__ import annotations

import random
import subprocess
import tomllib
from pathlib import Path

import pytest

from mlxoss.cli.connect.clients.codex import codex_changes
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.settings_file import draft_edit
from mlxoss.cli.connect.toml_format import Toml
from tests.support.cli.runner import mlxoss
from tests.support.clients.codex import write_settings

OPEN = Served("http://127.0.0.1:8000", "some/model", needs_key=False, context_tokens=4096)
LOCKED = Served("https://mac.local:1", 'odd"model', needs_key=True)
OLD = """\
# mine
model = "gpt" # old
approval_policy = "never"

[model_providers.other]
name = "o"
"""
OTHER = {"name": "o", "base_url": "http://o/v1"}
# Ways to write the same settings of another provider, and of ours as another tool left them.
SPELLINGS = {
    "headers": '[model_providers.other]\nname = "o"\nbase_url = "http://o/v1"\n',
    "dots": 'model_providers.other.name = "o"\nmodel_providers.other.base_url = "http://o/v1"',
    "dots and a header": (
        'model_providers.other.name = "o"\nmodel_providers.other.base_url = "http://o/v1" # c\n'
        '\n[tools]\nweb = true\n'
    ),
    "dots of ours": (
        'model_providers.mlxoss.name = "old"\nmodel_providers.other.name = "o"\n'
        'model_providers.mlxoss.env_key = "K"\nmodel_providers.other.base_url = "http://o/v1"'
    ),
    "dots below a header": (
        '[model_providers]\nother.name = "o"\nother.base_url = "http://o/v1"\nmlxoss.name = "old"\n'
    ),
    "inline": 'model_providers = { other = { name = "o", base_url = "http://o/v1" } }',
    "inline, ours too": (
        '[model_providers]\nmlxoss = { name = "old", env_key = "K" } # c\n'
        'other = { name = "o", base_url = "http://o/v1" }'
    ),
    "scattered": (
        '[model_providers.mlxoss]\nname = "old"\n[tools]\nweb = true\n[model_providers.mlxoss.auth]'
        '\ncommand = "x"\n[model_providers.other]\nname = "o"\nbase_url = "http://o/v1"'
    ),
    "a comment at the end": (
        '[model_providers.other]\nname = "o"\nbase_url = "http://o/v1"\n\n# c: the end'
    ),
    "quoted": (
        "[ model_providers . 'other' ]\nname = 'o'\nbase_url = 'http://o/v1'\n"
        "[\"model_providers\".'mlxoss']\nwire_api = 'chat'"
    ),
}  # fmt: skip


def check(file: Path, served: Served) -> None:
    """The file chooses this server."""
    found = tomllib.loads(file.read_text("utf-8-sig"))
    provider = found["model_providers"]["mlxoss"]
    assert (found["model"], found["model_provider"]) == (served.model, "mlxoss")
    assert (provider["base_url"], provider["wire_api"]) == (served.base, "responses")
    assert provider["auth"]["command"] == "/bin/sh"
    assert "env_key" not in provider


def write(home: Path, text: str | bytes) -> subprocess.CompletedProcess[str]:
    """``mlxoss codex --write`` into a file with this text."""
    (home / "config.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return mlxoss(home, "codex", "--write", env={"CODEX_HOME": str(home)})


def test_settings_are_merged_and_the_old_file_kept(tmp_path: Path) -> None:
    file = tmp_path / "home" / "config.toml"
    assert write_settings(file, OPEN).backup is None
    file.write_text(OLD)
    backup = write_settings(file, LOCKED).backup
    assert backup is not None
    assert backup.read_text() == OLD
    text = file.read_text()
    assert text.startswith("# mine\n")
    check(file, LOCKED)
    found = tomllib.loads(text)
    assert found["approval_policy"] == "never"
    assert found["model_providers"]["other"] == {"name": "o"}
    # Nothing changes, nothing is copied.
    again = write_settings(file, LOCKED)
    assert (again.backup, again.draft.is_change) == (None, False)
    assert sorted(path.name for path in file.parent.iterdir()) == ["config.toml", backup.name]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_settings_are_merged_however_they_are_spelled(tmp_path: Path, spelling: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(SPELLINGS[spelling])
    before = tomllib.loads(SPELLINGS[spelling])
    write_settings(file, OPEN)
    check(file, OPEN)
    after = tomllib.loads(file.read_text())
    assert after["model_providers"]["other"] == OTHER
    assert after.get("tools") == before.get("tools")
    assert file.read_text().count("# c") == SPELLINGS[spelling].count("# c")


STAYING = {"x", "arr", "s", "day", "odd", "profile", "tools", "hooks", "projects", "profiles"}
TOP = (
    'model = "a" # c',
    'model_provider = "o"',
    'profile = "p"',
    "x.y = 1 # c",
    "x.z.w = [1,2] # c",
    "arr = [ # c\n 1, # c\n 2,\n]",
    's = """\nmodel = 1\n[x]\n"""',
    "day = 1979-05-27T07:32:00Z",
    "odd = [nan, -0.0, inf]",
    'model_providers.o.name = "o" # c',
    'model_providers.o.base_url = "u"',
    'model_providers.o = { name = "o" } # c',
    'model_providers = { o = { name = "o" } } # c',
    'model_providers.mlxoss.name = "q" # c',
    'model_providers.mlxoss.env_key = "K"',
    'model_providers.mlxoss.auth.command = "sh"',
    'model_providers.mlxoss.auth = { command = "a" } # c',
    'model_providers.mlxoss.http_headers = { a = "b" }',
    '"model_providers".mlxoss.wire_api = "chat"',
)
SECTIONS = (
    "[tools] # c\na = 1",
    "# c: the end\n",
    "[[hooks]] # c\na=1",
    "[x.q]\na.b = 1 # c",
    '[projects."/a/b"] # c\ntrust="t"',
    '[profiles.p]\nmodel="z" # c',
    "[model_providers] # c",
    '[model_providers.o] # c\nname = "o"',
    '[[model_providers.z]]\nname="1"',
    '[model_providers]\no.name = "o" # c\nmlxoss.name = "m"',
    '[model_providers]\nmlxoss = { name = "x", env_key = "e" } # c',
    '[model_providers.mlxoss] # c\nname="z"\nenv_key = "K"',
    '[model_providers.mlxoss]\nauth.command = "c" # c',
    '[model_providers.mlxoss.auth] # c\ncommand="x"\ntimeout_ms=5 # c',
    '[model_providers.mlxoss.http_headers] # c\nA="b"',
)


def test_random_files_are_merged_with_all_their_comments(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    dice, tried, file = random.Random(seed), 0, tmp_path / "config.toml"
    while tried < 150:
        lines = dice.sample(TOP, dice.randrange(6)) + dice.sample(SECTIONS, dice.randrange(6))
        text = "\n".join(lines) + dice.choice(["", "\n"])
        try:
            before = tomllib.loads(text)
        except ValueError:
            continue
        tried += 1
        file.write_text(text)
        file.write_bytes(draft_edit(file, Toml(), lambda _: codex_changes(OPEN)).new)
        check(file, OPEN)
        after = tomllib.loads(file.read_text())
        for key in STAYING & before.keys():
            assert repr(after[key]) == repr(before[key]), text
        # tomlkit may repeat a header's comment at a table that it adds.
        assert file.read_text().count("# c") >= text.count("# c"), text


def test_other_settings_of_our_provider_stay_but_those_that_codex_refuses(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[model_providers.mlxoss]\nexperimental_bearer_token = "t"\nrequires_openai_auth = true\n'
        'stream_max_retries = 3\n[model_providers.mlxoss.aws]\nprofile = "p"\n'
        "[model_providers.mlxoss.auth]\ntimeout_ms = 9\n"
    )
    write_settings(file, OPEN)
    provider = tomllib.loads(file.read_text())["model_providers"]["mlxoss"]
    assert set(provider) == {"name", "base_url", "wire_api", "auth", "stream_max_retries"}
    assert provider["auth"]["timeout_ms"] == 9


def test_a_table_of_nothing_but_what_goes_keeps_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[model_providers.mlxoss.http_headers]\na = "b"\n'
        '[model_providers.mlxoss] # ours\n# its key\nenv_key = "K"\n[tools]\nweb = true\n'
    )
    write_settings(file, OPEN)
    text = file.read_text()
    assert "# ours" in text
    assert "# its key" in text
    assert "env_key" not in text


def test_settings_are_shown_as_they_are_written(tmp_path: Path) -> None:
    shown = mlxoss(tmp_path, "codex").stdout
    written = mlxoss(tmp_path, "codex", "--write", env={"CODEX_HOME": str(tmp_path / "c")})
    assert written.stdout == f"Wrote {tmp_path / 'c/config.toml'}\n"
    again = mlxoss(tmp_path, "codex", "--write", env={"CODEX_HOME": str(tmp_path / "c")})
    assert again.stdout == f"{tmp_path / 'c/config.toml'} says so already.\n"
    assert (tmp_path / "c/config.toml").read_text() == shown
    assert tomllib.loads(shown)["model_providers"]["mlxoss"]["wire_api"] == "responses"


WRONG = {
    "a = [": "is not TOML",
    "[a]\nx = 1\n[a]\ny = 2\n": "is not TOML",
    "model_providers = 1\n": "model_providers in",
    "model_providers = [1]\n": "model_providers in",
    "[[model_providers]]\nname = 'x'\n": "model_providers in",
    "model_providers.mlxoss = 'x'\n": "model_providers.mlxoss in",
    "[model]\nname = 'x'\n": "model in",
    "a = " + "[" * 5000: "is not TOML",
    "a." * 900 + "a = 1": "is not TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_settings_that_are_wrong_are_left_alone(tmp_path: Path, text: str) -> None:
    done = write(tmp_path, text)
    assert done.returncode == 2
    assert WRONG[text] in done.stderr
    assert "mend it first" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "config.toml").read_text() == text
    assert [path.name for path in tmp_path.iterdir() if "config.toml" in path.name] == [
        "config.toml"
    ]


def test_text_that_is_not_utf_8_is_left_alone(tmp_path: Path) -> None:
    text = 'a = "ä"\n'.encode("utf-16")
    done = write(tmp_path, text)
    assert (done.returncode, (tmp_path / "config.toml").read_bytes()) == (2, text)
    assert "is not TOML" in done.stderr


def test_a_profile_that_goes_before_is_told(tmp_path: Path) -> None:
    """It stays in the file, as everything else does."""
    done = write(tmp_path, 'profile = "p"\n[profiles.p]\nmodel_provider = "o"\nmodel = "m"\n')
    assert done.returncode == 0
    check(tmp_path / "config.toml", Served(*_found(tmp_path), needs_key=False))
    assert "Take that line out" in done.stderr
    assert "model and model_provider from [profiles.p]" in done.stderr
    again = mlxoss(tmp_path, "codex", "--write", env={"CODEX_HOME": str(tmp_path)})
    assert again.stdout.endswith("says so already.\n")
    assert again.stderr == done.stderr
    other = write(tmp_path, '[profiles.p]\nmodel_provider = "o"\n')
    assert (other.returncode, other.stderr) == (0, "")


def _found(home: Path) -> tuple[str, str]:
    """The server's URL and model as the file has them."""
    found = tomllib.loads((home / "config.toml").read_text())
    base: str = found["model_providers"]["mlxoss"]["base_url"]
    return base.removesuffix("/v1"), found["model"]
