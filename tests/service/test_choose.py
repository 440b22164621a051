from __future__ import annotations

from pathlib import Path

import pytest

from mlxoss.errors import ServiceError
from mlxoss.service.choose import choose_supervisor
from mlxoss.service.launchd import Launchd
from mlxoss.service.systemd import Systemd

HOME = Path("/Users/you")


def test_a_mac_has_launchd() -> None:
    found = choose_supervisor("darwin", {}, 501, HOME)
    assert isinstance(found, Launchd)
    assert found.launchctl == "/bin/launchctl"
    assert found.definition == HOME / "Library/LaunchAgents/org.mlxoss.daemon.plist"


def test_a_named_launchctl_is_used_on_any_system() -> None:
    found = choose_supervisor("linux", {"MLXOSS_LAUNCHCTL": "/x/launchctl"}, 0, HOME)
    assert isinstance(found, Launchd)
    assert (found.launchctl, found.uid) == ("/x/launchctl", 0)


def test_linux_with_a_user_session_has_systemd(tmp_path: Path) -> None:
    (tmp_path / "systemd" / "private").mkdir(parents=True)
    systemctl = tmp_path / "systemctl"
    systemctl.touch(0o755)
    env = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    found = choose_supervisor("linux", env, 1000, HOME)
    assert isinstance(found, Systemd)
    assert found.definition == HOME / ".config/systemd/user/mlxoss.service"
    moved = choose_supervisor("linux", env | {"XDG_CONFIG_HOME": "/c"}, 1000, HOME)
    assert moved.definition == Path("/c/systemd/user/mlxoss.service")


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_elsewhere_one_sentence_points_to_serve(platform: str) -> None:
    with pytest.raises(ServiceError, match="no service manager") as caught:
        choose_supervisor(platform, {"PATH": "/usr/bin:/bin"}, 1000, HOME)
    assert "mlxoss serve" in (caught.value.remedy or "")


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_root_is_refused(platform: str) -> None:
    with pytest.raises(ServiceError, match="not to root"):
        choose_supervisor(platform, {}, 0, HOME)
