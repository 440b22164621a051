"""``mlxoss serve`` under a service manager: its exit codes, and where it says why."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mlxoss.last_exit import read_last_exit
from mlxoss.service.spec import LABEL
from tests.support.checkpoints import write_checkpoint
from tests.support.cli.runner import environment, mlxoss

SUPERVISED = {"XPC_SERVICE_NAME": LABEL}


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_checkpoint(tmp_path_factory.mktemp("models") / "other")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"gpt_oss"', '"llama"'))
    return folder


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("max_batch = 0", "config", "max_batch must be an integer"),
        ("this is no TOML", "config", "not valid TOML"),
        ('model = "nobody/none"\nport = 0', "model", "mlxoss models pull nobody/none"),
        ('model = "/no/such/folder"\nport = 0', "model", "/no/such/folder"),
        ('model = "OTHER"\nport = 0', "model", "not a gpt_oss model"),
        ("port = TAKEN", "port_taken", "is in use"),
    ],
)
def test_what_starting_again_cannot_help_ends_with_0(
    tmp_path: Path, other_model: Path, settings: str, code: str, words: str
) -> None:
    folder = tmp_path / "mlxoss"
    (folder / "config").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = settings.replace("TAKEN", str(taken.getsockname()[1]))
        text = text.replace("OTHER", str(other_model))
        (folder / "config" / "config.toml").write_text(text)
        done = mlxoss(tmp_path, "serve", env=SUPERVISED)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    last = read_last_exit(folder / "data")
    assert last is not None
    assert (last.code, words in last.reason) == (code, True), last
    assert words in done.stderr
    log = folder / "logs" / "mlxoss.log"
    assert words in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_folders_that_cannot_be_made_are_no_loop_either(tmp_path: Path) -> None:
    (tmp_path / "mlxoss").write_text("a file where the folder should be")
    done = mlxoss(tmp_path, "serve", env=SUPERVISED)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be made" in done.stderr


MAC = """
import sys
from mlxoss.config import Config
from mlxoss.daemon.supervised import serve_supervised
sys.platform = "darwin"
def run(config):
    assert not [name for name in sys.modules if name.partition(".")[0] in ("mlx", "mlx_lm")]
    return 7
sys.exit(serve_supervised(lambda: Config(port=0), run))
"""


def test_on_a_mac_listening_does_not_wait_for_mlx(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAC],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stderr


def test_in_front_the_reason_is_on_the_terminal_and_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = mlxoss(tmp_path, "serve", "--port", port, "--log-file", str(log))
    assert done.returncode == 1
    last_line = done.stderr.splitlines()[-1]
    assert f"cannot listen on 127.0.0.1:{port}" in last_line
    assert last_line.endswith("(choose another with --port)")
    assert f"cannot listen on 127.0.0.1:{port}" in log.read_text()
