"""The command line itself: help, version, and how it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss import __version__
from mlxoss.config import settings
from mlxoss.config.kinds import Switch
from tests.support.cli.runner import environment, mlxoss

COMMANDS = [
    *[(), ("serve",), ("chat",), ("models",), ("models", "pull"), ("models", "list")],
    *[("key",), ("key", "create"), ("key", "list"), ("key", "revoke")],
    *[("privacy",), ("store",), ("store", "clear"), ("cluster",), ("cluster", "check")],
    *[("connect",), ("launch",), ("codex",)],
]
HEAVY = {"mlx", "mlx_lm", "sanic", "openai_harmony", "huggingface_hub", "numpy", "rich"}


def test_version(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"mlxoss {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = mlxoss(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(['mlxoss', *command])} ")
    assert done.stdout == mlxoss(tmp_path, *command, "-h").stdout


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\n"
        "from mlxoss.cli.main import main\n"
        "sys.argv = ['mlxoss', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    imported = {name.split(".")[0] for name in done.stderr.split()}
    assert "typer" in imported
    assert imported & HEAVY == set()


def test_flags_are_read_without_pydantic(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mlxoss", "serve"]
    done = subprocess.run(
        [*command, "--log-level", "error", "--http-access-log", "--port", "many"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 2
    assert "--port must be an integer from 0 to 65535, not 'many'" in done.stderr
    assert "mlxoss.config" in loaded
    assert "pydantic" not in loaded


def test_serve_has_a_flag_for_every_setting(tmp_path: Path) -> None:
    shown = mlxoss(tmp_path, "serve", "--help").stdout
    flags = set(re.findall(r"--[a-z0-9-]+", shown))
    expected = {setting.flag for setting in settings().values()}
    switches = {s.flag for s in settings().values() if isinstance(s.kind, Switch)}
    off = {f"--no-{flag[2:]}" for flag in switches}
    assert flags == expected | off | {"--config", "--help"}


STARTED = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ mlxoss [\d.]+ pid \d+"


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    """``serve`` said when it started, then one sentence, and printed nothing."""
    first, *rest = done.stderr.splitlines()
    assert re.fullmatch(STARTED, first)
    assert rest == [f"mlxoss: {sentence}"]
    assert done.stdout == ""
    assert done.returncode == 2


def test_a_bad_flag_is_refused(tmp_path: Path) -> None:
    refused(
        mlxoss(tmp_path, "serve", "--port", "65536"),
        "--port must be an integer from 0 to 65535, not 65536.",
    )


def test_a_bad_variable_is_refused(tmp_path: Path) -> None:
    refused(
        mlxoss(tmp_path, "serve", env={"MLXOSS_MAX_BATCH": "many"}),
        "The environment variable MLXOSS_MAX_BATCH must be an integer from 1 to 64, not 'many'.",
    )


def test_a_bad_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mlxoss" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('port = "x"')
    refused(
        mlxoss(tmp_path, "serve"),
        f"{file}: port must be an integer from 0 to 65535, not 'x'.",
    )


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_another_file_may_be_named(tmp_path: Path, how: str) -> None:
    file = tmp_path / "other.toml"
    file.write_text("prot = 1")
    arguments = ["--config", str(file)] if how == "flag" else []
    env = {"MLXOSS_CONFIG": str(file)} if how == "variable" else {}
    done = mlxoss(tmp_path, "serve", *arguments, env=env)
    refused(done, f"{file}: unknown setting 'prot' (did you mean 'port'?).")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    gone = tmp_path / "gone.toml"
    refused(
        mlxoss(tmp_path, "serve", "--config", str(gone)),
        f"The configuration file {gone} does not exist.",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--prot", "1"), "--prot"),
        (("serve", "extra"), "unexpected extra argument"),
        (("swerve",), "swerve"),
        (("models", "pull"), "ID"),
        (("chat", "--effort", "none", "hi"), "--effort"),
    ],
)
def test_wrong_usage_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = mlxoss(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlxoss").write_text("a file in place of the folder")
    done = mlxoss(tmp_path, "models", "list")
    assert done.returncode == 2
    assert done.stderr == (
        f"mlxoss: The folder {tmp_path}/mlxoss/data cannot be made: File exists.\n"
    )
