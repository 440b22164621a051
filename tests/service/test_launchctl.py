"""Texts as macOS prints them, with what they mean to us."""

from __future__ import annotations

import pytest

from mlxoss.service.job import Job, JobState
from mlxoss.service.launchctl import parse_disabled, parse_print

RUNNING = """gui/501/org.mlxoss.daemon = {
\tactive count = 1
\tpath = /Users/you/Library/LaunchAgents/org.mlxoss.daemon.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /opt/homebrew/opt/mlxoss/bin/mlxoss
\targuments = {
\t\t/opt/homebrew/opt/mlxoss/bin/mlxoss
\t\tserve
\t}

\tenvironment = {
\t\tPATH => /usr/bin
\t\tpid = 7
\t}

\tdomain = gui/501 [100003]
\tminimum runtime = 10
\texit timeout = 30
\truns = 3
\tpid = 4711
\tlast exit code = 1

\tendpoints = {
\t\tstate = inactive
\t\truns = 99
\t}

\tspawn type = interactive (4)
\tproperties = runatload | inferred program
}
"""


def test_a_running_service() -> None:
    assert parse_print(RUNNING, where="gui/501") == Job(
        state=JobState.RUNNING,
        pid=4711,
        runs=3,
        last_exit="1",
        last_code=1,
        definition="/Users/you/Library/LaunchAgents/org.mlxoss.daemon.plist",
        program="/opt/homebrew/opt/mlxoss/bin/mlxoss",
        where="gui/501",
        priority="interactive (4)",
    )


@pytest.mark.parametrize(
    ("lines", "state", "last_exit", "last_code"),
    [
        ("state = not running|runs = 1|last exit code = 0", JobState.ENDED, "0", 0),
        ("state = not running|last exit code = (never exited)", JobState.ENDED, None, None),
        ("state = spawn scheduled|last exit code = 1", JobState.WAITING, "1", 1),
        (
            "state = not running|last exit code = 78: EX_CONFIG",
            JobState.ENDED,
            "78: EX_CONFIG",
            78,
        ),
        (
            "state = spawn scheduled|last terminating signal = Killed: 9",
            JobState.WAITING,
            "Killed: 9",
            None,
        ),
        ("state = SIGTERMed|pid = 5", JobState.STOPPING, None, None),
        ("state = SIGKILLed|pid = 5", JobState.STOPPING, None, None),
        ("state = spawning", JobState.STARTING, None, None),
        ("state = languishing", JobState.ENDED, None, None),
        ("state = a word of tomorrow|pid = 5", JobState.RUNNING, None, None),
        ("", JobState.ENDED, None, None),
    ],
)
def test_other_states(
    lines: str, state: JobState, last_exit: str | None, last_code: int | None
) -> None:
    text = "x = {\n" + "".join(f"\t{line}\n" for line in lines.split("|")) + "}\n"
    job = parse_print(text, where="gui/501")
    assert (job.state, job.last_exit, job.last_code) == (state, last_exit, last_code)


@pytest.mark.parametrize("text", ["", "Bad request.", "\t = \n\tpid = x\n\truns = \n", "\0" * 99])
def test_nonsense_is_no_running_service(text: str) -> None:
    job = parse_print(text, where="")
    assert not job.alive
    assert job.runs == 0


@pytest.mark.parametrize(
    ("row", "disabled"),
    [
        ('\t\t"org.mlxoss.daemon" => disabled', True),
        ('\t\t"org.mlxoss.daemon" => true', True),
        ('\t\t"org.mlxoss.daemon" => enabled', False),
        ('\t\t"org.mlxoss.daemon" => false', False),
        ('\t\t"org.mlxoss.daemon.other" => disabled', False),
        ("", False),
    ],
)
def test_the_override(row: str, disabled: bool) -> None:
    text = f'\tdisabled services = {{\n\t\t"com.example" => disabled\n{row}\n\t}}\n'
    assert parse_disabled(text, "org.mlxoss.daemon") is disabled
