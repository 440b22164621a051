"""The whole life of the service, in a launchd that supervises real processes."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
import urllib.request
from dataclasses import replace

import pytest

from mlxoss.errors import ServiceError
from mlxoss.service.health import Answered
from mlxoss.service.job import Absent, JobState
from mlxoss.service.ready import ServiceNotReady, ServiceReady
from mlxoss.service.spec import LABEL
from mlxoss.service.status import EXIT_STATUS, Verdict
from tests.support.service.box import Box, is_alive
from tests.support.service.standin import QUIRKS
from tests.support.waiting import until


@pytest.mark.parametrize("box", QUIRKS, indirect=True, ids=lambda quirk: quirk or "plain")
def test_the_whole_life(box: Box) -> None:
    pid = _install(box)
    pid = _restart_with_a_request_in_flight(box, pid)
    pid = _change_options(box, pid)
    pid = _crash(box, pid)
    _stop(box, pid)
    _refuse(box)
    _uninstall(box, box.up())


def _install(box: Box) -> int:
    first = box.manager.install(box.spec())
    assert f"wrote {box.plist}" in first.done
    assert first.done[-1] == "registered and started"
    pid = box.up()
    assert stat.S_IMODE(box.plist.stat().st_mode) == 0o644

    assert box.manager.install(box.spec()).done == ()
    assert box.manager.start().done == ()
    status = box.status()
    assert (status.verdict, status.concerns) == (Verdict.HEALTHY, ())
    assert box.job().pid == pid
    return pid


def _restart_with_a_request_in_flight(box: Box, pid: int) -> int:
    answers: list[int] = []

    def ask() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{box.port}/slow", timeout=120) as answer:
            answers.append(answer.status)

    client = threading.Thread(target=ask)
    client.start()
    until((box.state / "slow").exists)
    assert box.manager.restart().done == ("restarted",)
    client.join()
    assert answers == [200]
    fresh = box.up()
    assert fresh != pid
    assert box.starts() == 2
    return fresh


def _change_options(box: Box, pid: int) -> int:
    outcome = box.manager.install(box.spec(exit_timeout_s=40))
    assert outcome.done == (
        f"wrote {box.plist}",
        "stopped the old instance",
        "registered and started",
    )
    fresh = box.up()
    assert fresh != pid
    assert "exit timeout = 40" in box.ctl("print", f"{box.job().where}/{LABEL}").stdout
    return fresh


def _crash(box: Box, pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    until(lambda: box.job().pid not in (None, pid), pause_s=0.2)
    fresh = box.up()
    assert box.job().last_exit == "Killed: 9"
    assert box.status().verdict is Verdict.HEALTHY
    return fresh


def _stop(box: Box, pid: int) -> None:
    stopped = box.manager.stop()
    assert stopped.done == ("stopped",)
    assert "next login" in stopped.notes[0]
    assert not is_alive(pid)
    assert isinstance(box.supervisor.query(), Absent)
    assert box.status().verdict is Verdict.STOPPED
    assert box.manager.stop().done == ()


def _refuse(box: Box) -> None:
    box.behave("refuse")
    assert box.manager.start().done == ("registered and started",)
    assert box.ready() == ServiceNotReady("it refused to start: max_batch must be at least 1")
    starts = box.starts()
    time.sleep(1.0)  # two throttle intervals of the stand-in
    assert box.starts() == starts
    status = box.status()
    assert status.verdict is Verdict.STOPPED
    assert EXIT_STATUS[status.verdict] == 3
    assert "max_batch must be at least 1" in status.concerns[0]
    box.behave("serve")
    assert box.manager.start().done == ("started",)


def _uninstall(box: Box, pid: int) -> None:
    assert box.manager.uninstall().done == ("stopped", f"removed {box.plist}")
    assert not box.plist.exists()
    assert not is_alive(pid)
    status = box.status()
    assert status.verdict is Verdict.NOT_INSTALLED
    assert "`mlxoss install`" in status.concerns[0]
    assert box.manager.uninstall().done == ()


def test_changed_settings_restart_a_service_whose_plist_stays(box: Box) -> None:
    box.manager.install(box.spec())
    pid = box.up()
    assert box.manager.install(box.spec(), must_restart=True).done == ("restarted",)
    assert box.up() != pid


def test_an_endless_crash_is_told(box: Box) -> None:
    box.behave("crash")
    box.manager.install(box.spec())
    ready = box.ready()
    assert isinstance(ready, ServiceNotReady)
    assert "crashed (last exit 1" in ready.why
    until(lambda: box.starts() >= 3)
    box.behave("serve")
    until(lambda: isinstance(box.ready(), ServiceReady), pause_s=0.2)


def test_a_taken_port_is_a_refusal(box: Box) -> None:
    with socket.create_server(("127.0.0.1", box.port)):
        box.manager.install(box.spec())
        ready = box.ready()
        assert isinstance(ready, ServiceNotReady)
        assert f"port {box.port} is in use" in ready.why
    assert box.manager.restart().done == ("started",)
    box.up()


def test_login_and_logout(box: Box) -> None:
    box.manager.install(box.spec())
    pid = box.up()
    box.ctl("logout")
    assert not is_alive(pid)
    status = box.status()
    assert (status.verdict, EXIT_STATUS[status.verdict]) == (Verdict.STOPPED, 3)
    assert "next login" in status.concerns[0]
    box.ctl("login", str(box.plist.parent))
    assert box.up() != pid

    box.manager.stop(disable=True)
    box.ctl("logout")
    box.ctl("login", str(box.plist.parent))
    assert isinstance(box.supervisor.query(), Absent)
    assert box.status().disabled


@pytest.mark.parametrize("box", ["", "rich-errors"], indirect=True)
def test_a_disabled_label_is_enabled_again(box: Box) -> None:
    box.ctl("disable", box.target)
    assert "enabled at login" in box.manager.install(box.spec()).done
    box.up()
    assert box.manager.stop(disable=True).done == ("stopped", "disabled at login")
    assert box.manager.start().done == ("enabled at login", "registered and started")
    box.up()
    box.ctl("disable", box.target)
    assert box.manager.install(box.spec()).done == ("enabled at login",)
    box.manager.stop(disable=True)
    box.manager.uninstall()
    assert "disabled" not in box.ctl("print-disabled", f"gui/{os.getuid()}").stdout.replace(
        "disabled services", ""
    )


@pytest.mark.parametrize("box", ["", "rich-errors"], indirect=True)
def test_a_plist_that_others_may_write_is_not_trusted(box: Box) -> None:
    box.manager.install(box.spec())
    box.up()
    box.manager.stop()
    box.plist.chmod(0o666)
    with pytest.raises(ServiceError, match="mode 0666") as caught:
        box.manager.start()
    assert caught.value.remedy == "mlxoss install"
    with pytest.raises(ServiceError, match="others may write"):
        box.supervisor.register()
    assert f"wrote {box.plist}" in box.manager.install(box.spec()).done
    box.up()


@pytest.mark.parametrize("box", ["", "rich-errors"], indirect=True)
def test_a_damaged_or_missing_plist_is_named(box: Box) -> None:
    with pytest.raises(ServiceError, match="not installed"):
        box.manager.start()
    with pytest.raises(ServiceError, match="is missing"):
        box.supervisor.register()
    box.plist.parent.mkdir(parents=True)
    box.plist.write_text("<plist><dict>")
    box.plist.chmod(0o644)
    with pytest.raises(ServiceError, match="is damaged"):
        box.manager.restart()
    with pytest.raises(ServiceError, match="is damaged"):
        box.supervisor.register()


def test_a_missing_program_is_named(box: Box) -> None:
    gone = box.root / "Cellar" / "mlxoss" / "0.0.1" / "bin" / "mlxoss"
    box.manager.install(box.spec(program=gone))
    ready = box.ready()
    assert isinstance(ready, ServiceNotReady)
    assert f"(exit 78): the program {gone} is missing" in ready.why
    for other in ("its log", "its working folder"):
        assert other in ready.why
    status = box.status()
    assert status.verdict is Verdict.STOPPED
    assert any("program is gone" in concern for concern in status.concerns)
    box.manager.install(box.spec())
    box.up()


def test_a_daemon_that_hangs_is_unhealthy_at_once_and_killed_on_restart(box: Box) -> None:
    box.behave("deaf")
    box.manager.install(box.spec())
    pid = box.up()
    os.kill(pid, signal.SIGSTOP)
    status = box.status()
    assert (status.verdict, EXIT_STATUS[status.verdict]) == (Verdict.UNHEALTHY, 1)
    os.kill(pid, signal.SIGCONT)
    box.behave("serve")
    outcome = replace(box.manager, drain_s=0.3).restart()
    assert outcome.done == ("restarted",)
    assert "was killed" in outcome.notes[0]
    assert box.up() != pid


def test_a_deaf_daemon_is_killed_on_stop(box: Box) -> None:
    box.behave("deaf")
    box.manager.install(box.spec())
    pid = box.up()
    assert box.manager.stop().done == ("stopped",)
    assert not is_alive(pid)


def test_restart_starts_what_was_stopped(box: Box) -> None:
    box.manager.install(box.spec(), start=False)
    assert isinstance(box.supervisor.query(), Absent)
    assert box.manager.restart().done == ("registered and started",)
    pid = box.up()
    os.kill(pid, signal.SIGTERM)
    until(lambda: box.job().state is JobState.ENDED, pause_s=0.2)
    assert box.manager.restart().done == ("started",)
    box.up()


def test_the_service_moves_from_the_login_of_ssh_to_the_desktop(box: Box) -> None:
    box.ctl.set_quirks("no-gui")
    outcome = box.manager.install(box.spec())
    assert "No desktop session" in outcome.notes[0]
    box.up()
    assert box.job().where == f"user/{os.getuid()}"
    box.ctl.set_quirks("")
    assert box.status().verdict is Verdict.HEALTHY
    box.supervisor.register()
    box.up()
    assert box.job().where == f"gui/{os.getuid()}"
    assert box.starts() == 2


def test_a_login_at_the_desktop_beside_the_service_of_ssh_hides_it_from_no_command(
    box: Box,
) -> None:
    box.ctl.set_quirks("no-gui")
    box.manager.install(box.spec())
    pid = box.up()
    box.ctl.set_quirks("")
    box.ctl("login", str(box.plist.parent))  # starts a second one, which finds the port taken
    until((box.state / "last-exit.json").exists)
    until(lambda: box.job().pid == pid)
    assert box.status().verdict is Verdict.HEALTHY
    assert box.manager.install(box.spec()).done == ()
    assert box.manager.restart().done == ("restarted",)
    assert box.up() != pid
    assert box.job().where == f"gui/{os.getuid()}"
    assert not is_alive(pid)


def test_a_registration_from_another_file_is_replaced(box: Box) -> None:
    other = box.root / "elsewhere" / box.plist.name
    other.parent.mkdir()
    (box.root / "logs").mkdir()
    box.state.mkdir()
    other.write_bytes(box.supervisor.render(box.spec()))
    box.ctl("bootstrap", f"gui/{os.getuid()}", str(other))
    box.up()
    box.manager.install(box.spec(), start=False)
    assert any("was loaded from" in concern for concern in box.status().concerns)
    assert box.manager.restart().done == ("stopped the old instance", "registered and started")
    box.up()
    assert box.status().concerns == ()


def test_two_commands_at_once_take_turns(box: Box) -> None:
    failures: list[BaseException] = []

    def install() -> None:
        try:
            box.manager.install(box.spec())
        except ServiceError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=install) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    box.up()
    assert box.starts() == 1


def test_another_server_at_the_address_is_not_taken_for_the_service(box: Box) -> None:
    box.manager.install(box.spec())
    other = box.up()
    health = box.ask()
    assert isinstance(health, Answered)
    assert health.pid == other
    box.manager.stop()
    box.ctl("bootout", box.target)
    assert box.status().concerns[0].startswith("It is installed but not loaded")
