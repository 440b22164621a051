"""Clients' files are written into accounts that have settings, and become what they were."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cli.connect import connections
from mlxoss.cli.connect.clients.client import SettingsPlace
from mlxoss.cli.connect.clients.table import CLIENTS
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.settings_file import draft_edit
from mlxoss.cli.connect.toml_format import Toml
from mlxoss.cli.connect.values import Put, leaves, look
from mlxoss.errors import ConfigError
from tests.support.cli.runner import mlxoss
from tests.support.clients.connected import files

OPEN = Served("http://127.0.0.1:8000", "some/model", needs_key=False, context_tokens=4096)
LOCKED = replace(OPEN, needs_key=True, secret="mlx-its-key")
OTHER = replace(OPEN, url="http://127.0.0.1:9000", model="another")
NAMES = [name for name, client in CLIENTS.items() if client.places]
VARIABLES = ("XDG_CONFIG_HOME", "CODEX_HOME", "PI_CODING_AGENT_DIR", "CONTINUE_GLOBAL_DIR")

# What stands in an account before: comments, another provider, another choice.
BEFORE = {
    "codex": {
        ".codex/config.toml": (
            '# mine\nmodel = "gpt" # c\napproval_policy = "never"\n\n'
            '[model_providers.other] # c\nname = "o"\nbase_url = "http://o/v1"\n'
        )
    },
    "opencode": {
        ".config/opencode/opencode.jsonc": (
            '{\n    // mine\n    "model": "other/m", // c\n'
            '    "provider": {\n        "other": { "npm": "x" }, // c\n    },\n}\n'
        )
    },
    "pi": {
        ".pi/agent/models.json": '{"providers": {"other": {"baseUrl": "http://o"}}}',
        ".pi/agent/settings.json": '{\n  "defaultProvider": "other",\n  "theme": "dark"\n}\n',
    },
    "crush": {
        ".config/crush/crush.json": (
            '{\n  "models": { "large": { "model": "m", "provider": "other" } },\n'
            '  "providers": { "other": {} }\n}'
        )
    },
    "goose": {
        ".config/goose/config.yaml": (
            "# mine\nGOOSE_PROVIDER: other # c\nextensions:\n  developer:\n    enabled: true\n"
        ),
        ".config/goose/custom_providers/other.json": "{}",
    },
    "cline": {
        ".cline/data/settings/providers.json": (
            '{\n  "version": 1,\n  "lastUsedProvider": "other",\n  "modes": {},\n'
            '  "providers": {\n    "other": { "settings": { "provider": "other" } }\n  }\n}\n'
        )
    },
    "kilo": {".config/kilo/kilo.json": '{ "provider": { "other": {} } }\n'},
    "openclaw": {
        ".openclaw/openclaw.json": (
            '{\r\n  // mine\r\n  "models": { "providers": { "other": {} } },\r\n'
            '  "agents": { "defaults": { "model": { "primary": "other/m" } } }\r\n}\r\n'
        )
    },
    "continue": {
        ".continue/config.yaml": (
            "name: Mine # c\nversion: 0.0.1\nmodels:\n  - name: other # c\n    provider: x\n"
            "    model: m\n\n# c\ncontext:\n  - provider: code\n"
        )
    },
    "llm": {
        ".config/io.datasette.llm/extra-openai-models.yaml": (
            "# mine\n- model_id: other # c\n  model_name: m\n"
        )
    },
    "zed": {
        ".config/zed/settings.json": (
            '// Zed settings\n{\n  "theme": "One", // c\n  "language_models": {\n'
            '    "openai_compatible": {\n      "other": { "api_url": "u" },\n    },\n  },\n}\n'
        )
    },
    "vscode": {
        ".config/Code/User/chatLanguageModels.json": (
            '[\n\t{\n\t\t"name": "other", // c\n\t\t"vendor": "customendpoint"\n\t}\n]'
        )
    },
    "raycast": {
        ".config/raycast/ai/providers.yaml": (
            "providers:\n- id: other # c\n  name: Other\n  models:\n  - id: m\n    context: 1\n"
        )
    },
}
BEFORE["codex-app"] = BEFORE["codex"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account of this process; what is ours lies in its ``mlxoss``."""
    home = tmp_path / "home"
    home.mkdir()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MLXOSS_HOME", str(home / "mlxoss"))
    monkeypatch.setattr("sys.platform", "linux")
    return home


def settle(home: Path, name: str) -> dict[str, bytes]:
    """Put a client's files there, and say what is there."""
    for path, text in BEFORE[name].items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(text.encode())
    return tree(home)


def tree(home: Path) -> dict[str, bytes]:
    """All files, and the folders as names that end with a stroke."""
    folders = (path.relative_to(home) for path in home.rglob("*") if path.is_dir())
    return files(home) | {f"{each}/": b"" for each in folders if each.parts[0] != "mlxoss"}


def values(home: Path, name: str, served: Served = OPEN) -> list[Any]:
    """What the client's files say."""
    places = connections.places_of(CLIENTS[name], served)
    return [draft_edit(p.part.file, p.part.form, lambda _: ()).settings for p in places]


def places_of(name: str) -> Sequence[SettingsPlace]:
    return connections.places_of(CLIENTS[name], OPEN)


def is_in(put: Put, settings: Any) -> bool:
    """Whether a value is there still; of a list, its elements."""
    found = look(settings, put.keys) if put.keys else settings
    if isinstance(put.value, list):
        return all(each in found for each in put.value)
    return bool(found == put.value)


def urls(home: Path, name: str, served: Served = OPEN) -> list[Any]:
    """The addresses of ours in them."""
    places = connections.places_of(CLIENTS[name], served)
    found = zip(places, values(home, name, served), strict=True)
    return [look(settings, place.url) for place, settings in found if place.url]


@pytest.mark.parametrize("served", [OPEN, LOCKED], ids=["open", "with a key"])
@pytest.mark.parametrize("name", NAMES)
def test_files_are_written_and_become_what_they_were(home: Path, name: str, served: Served) -> None:
    before, said = settle(home, name), values(home, name)
    connections.write(name, served)
    assert [str(url).startswith(served.url) for url in urls(home, name, served)] == [True]
    for place, old, new in zip(places_of(name), said, values(home, name), strict=True):
        chosen = {change.keys for change in place.part.wanted(old)}
        lost = [put for put in leaves(old) if put.keys not in chosen and not is_in(put, new)]
        assert lost == []
    after = tree(home)
    for path, text in before.items():
        assert after[path].count(b"# c") == text.count(b"# c")
        assert after[path].count(b"// c") == text.count(b"// c")
    assert sorted(text for path, text in after.items() if ".before-mlxoss-" in path) == sorted(
        before[path] for path in before if before[path] != after[path]
    )
    connections.write(name, served)
    assert tree(home) == after
    connections.remove(name, served)
    assert tree(home) == before


@pytest.mark.parametrize("name", NAMES)
def test_files_that_were_made_go_with_their_folders(home: Path, name: str) -> None:
    before = tree(home)
    connections.write(name, OPEN)
    assert urls(home, name) != [None]
    connections.write(name, OTHER)
    assert [str(url).startswith(OTHER.url) for url in urls(home, name, OTHER)] == [True]
    connections.remove(name, OPEN)
    assert tree(home) == before


@pytest.mark.parametrize("name", NAMES)
def test_another_server_takes_the_place_of_the_first(home: Path, name: str) -> None:
    before = settle(home, name)
    connections.write(name, OPEN)
    connections.write(name, OTHER)
    assert [str(url).startswith(OTHER.url) for url in urls(home, name, OTHER)] == [True]
    connections.remove(name, OTHER)
    assert tree(home) == before


def reformat(file: Path, form: Any) -> None:
    """As a client does that writes its file anew: one value more, in another spelling."""
    if isinstance(form, JsonFormat):
        settings = form.read(file.read_text())
        if isinstance(settings, dict):
            settings["theirs"] = 1
        else:
            settings.append({"name": "theirs"})
        file.write_text(json.dumps(settings, indent=3))
    elif isinstance(form, Toml):
        file.write_text(f"theirs = 1\n{file.read_text()}")
    else:
        more = (
            "- model_id: theirs\n" if file.read_text().startswith(("-", "# mine\n-")) else "t: 1\n"
        )
        file.write_text(file.read_text() + more)


def without(settings: Any) -> Any:
    """Without what ``reformat`` put there."""
    if isinstance(settings, dict):
        return {key: each for key, each in settings.items() if key not in ("theirs", "t")}
    return [each for each in settings if "theirs" not in each.values()]


@pytest.mark.parametrize("name", NAMES)
def test_what_others_changed_meanwhile_stays(home: Path, name: str) -> None:
    settle(home, name)
    said = values(home, name)
    connections.write(name, OPEN)
    places = connections.places_of(CLIENTS[name], OPEN)
    for place in places:
        if place.part.own != ():
            reformat(place.part.file, place.part.form)
    connections.remove(name, OPEN)
    left = values(home, name)
    assert [without(each) for each in left] == said
    theirs = [without(each) != each for each in left]
    assert theirs == [place.part.own != () for place in places]


@pytest.mark.parametrize("name", NAMES)
def test_without_a_record_what_is_ours_alone_goes(home: Path, name: str) -> None:
    settle(home, name)
    connections.write(name, OPEN)
    shutil.rmtree(home / "mlxoss")
    connections.remove(name, OPEN)
    if name != "cline":  # it has one provider of this kind, which may be anybody's
        assert urls(home, name) == [None]
    assert b"mlxoss" not in b"".join(
        text for path, text in files(home).items() if ".before-mlxoss-" not in path
    )


def test_a_value_that_its_owner_chose_since_stays(home: Path) -> None:
    settle(home, "opencode")
    connections.write("opencode", OPEN)
    file = home / ".config/opencode/opencode.jsonc"
    file.write_text(file.read_text().replace('"mlxoss/some/model"', '"other/new"'))
    connections.remove("opencode", OPEN)
    assert file.read_text() == BEFORE["opencode"][".config/opencode/opencode.jsonc"].replace(
        "other/m", "other/new"
    )


def test_writing_again_after_a_change_restores_to_what_the_first_undoing_left(home: Path) -> None:
    settle(home, "opencode")
    connections.write("opencode", OPEN)
    file = home / ".config/opencode/opencode.jsonc"
    file.write_text(file.read_text().replace("// mine", "// mine, and more"))
    connections.write("opencode", OTHER)
    connections.remove("opencode", OTHER)
    assert file.read_text() == BEFORE["opencode"][".config/opencode/opencode.jsonc"].replace(
        "// mine", "// mine, and more"
    )


def test_a_dry_run_shows_the_difference_and_writes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = settle(home, "pi")
    connections.show("pi", OPEN, is_removal=False)
    shown = capsys.readouterr().out
    assert tree(home) == before
    assert f"--- {home}/.pi/agent/settings.json\n" in shown
    assert '-  "defaultProvider": "other",\n' in shown
    assert '+  "defaultProvider": "mlxoss",\n' in shown
    connections.write("pi", OPEN)
    written = tree(home)
    capsys.readouterr()
    connections.show("pi", OPEN, is_removal=True)
    assert '+  "defaultProvider": "other",\n' in capsys.readouterr().out
    connections.show("pi", OPEN, is_removal=False)
    assert capsys.readouterr().out == ""
    assert tree(home) == written
    fresh = settle(home, "goose")
    connections.show("goose", OPEN, is_removal=False)
    assert "--- /dev/null\n" in capsys.readouterr().out
    assert tree(home) == fresh


def test_nothing_is_written_if_one_file_of_several_cannot_be(home: Path) -> None:
    settle(home, "pi")
    (home / ".pi/agent/settings.json").write_text("{")
    before = tree(home)
    with pytest.raises(ConfigError, match=r"settings\.json is not JSON"):
        connections.write("pi", OPEN)
    assert tree(home) == before


@pytest.mark.parametrize("name", ["models.json", "settings.json"])
def test_nothing_is_changed_if_one_file_of_several_is_read_only(home: Path, name: str) -> None:
    settle(home, "pi")
    file = home / ".pi/agent" / name
    for change in (connections.write, connections.remove):
        before = tree(home)
        file.chmod(0o400)
        with pytest.raises(ConfigError, match=rf"{name} is read-only"):
            change("pi", OPEN)
        assert tree(home) == before
        file.chmod(0o600)
        connections.write("pi", OPEN)


def test_a_key_is_in_a_file_only_where_the_client_takes_none_else(home: Path) -> None:
    for name in NAMES:
        connections.write(name, LOCKED)
        holds = any(b"mlx-its-key" in text for text in files(home).values())
        assert holds == CLIENTS[name].has_key, name
        connections.remove(name, LOCKED)
    with pytest.raises(ConfigError, match=r"export MLXOSS_API_KEY=\$\(mlxoss key create vscode\)"):
        connections.write("vscode", replace(LOCKED, secret=None))


Command = Callable[..., str]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(*words: str, **env: str) -> str:
        own = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "MLXOSS_PORT": "1"}
        done = mlxoss(tmp_path, *words, env=own | env)
        return done.stdout + done.stderr

    return run


def test_the_command_writes_and_removes(command: Command, tmp_path: Path) -> None:
    file = tmp_path / ".config/opencode/opencode.json"
    assert command("connect", "opencode", "--write") == f"Wrote {file}\n"
    assert command("connect", "opencode", "--write") == f"{file} says so already.\n"
    assert f"--- {file}\n+++ /dev/null\n" in command("connect", "opencode", "--remove", "--dry-run")
    assert command("connect", "opencode", "--remove") == f"Removed {file}\n"
    assert command("connect", "opencode", "--remove") == "opencode is not connected.\n"
    assert not (tmp_path / ".config").exists()


def test_what_is_kept_of_a_file_is_its_owner_s_alone_and_told(
    command: Command, tmp_path: Path
) -> None:
    kept = tmp_path / "mlxoss/data/connections.json"
    assert "connections.json" not in command("privacy")
    command("connect", "opencode", "--write")
    assert "data/connections.json" in command("privacy")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.write_text("{")
    assert f"The file {kept} is damaged" in command("connect", "opencode", "--remove")


def test_wrong_usage_is_refused(command: Command) -> None:
    assert "cannot be given together" in command("connect", "pi", "--write", "--remove")
    assert "Which client?" in command("connect", "--write")
    assert "No file is written for 'xcode', but for: codex, " in command(
        "connect", "xcode", "--write"
    )


def test_codex_s_own_command_is_undone_too(command: Command, tmp_path: Path) -> None:
    file = tmp_path / ".codex/config.toml"
    file.parent.mkdir()
    file.write_text("# mine\n")
    command("codex", "--write")
    assert "[model_providers.mlxoss]" in file.read_text()
    command("connect", "codex", "--remove")
    assert file.read_text() == "# mine\n"
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]
