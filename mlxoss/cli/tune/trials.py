"""The processes in which candidates are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from mlxoss.cli.tune.candidates import Candidate
from mlxoss.engine.trial_values import TrialOrder, TrialResult
from mlxoss.errors import MlxossError

PROGRAM = (sys.executable, "-m", "mlxoss.engine.mlx.trial")
_LEAST_S = 300.0
_SECONDS_PER_GB = 6.0

Measure = Callable[[Candidate], TrialResult]


class TrialFailed(MlxossError):
    """A trial did not come to its end, in one sentence."""


def measure_with(
    usual: TrialOrder, program: Sequence[str] = PROGRAM, env: Mapping[str, str] = os.environ
) -> Measure:
    """What measures a candidate in a fresh process.

    Of MLX's variables it is told those of ``env``, the service's, and no others: this shell's would
    have all candidates run alike. Raises ``TrialFailed``.
    """
    limit_s = _LEAST_S + _SECONDS_PER_GB * usual.weights_bytes / 1e9

    own = {name: value for name, value in os.environ.items() if not _is_mlx(name)}
    own |= {name: value for name, value in env.items() if _is_mlx(name)}

    def measure(candidate: Candidate) -> TrialResult:
        line = json.dumps(asdict(candidate.order(usual))) + "\n"
        try:
            done = subprocess.run(
                program,
                input=line,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
                env=own,
            )
        except subprocess.TimeoutExpired:
            raise TrialFailed(f"It took more than {limit_s:.0f} s.") from None
        except OSError as error:
            raise TrialFailed(f"{program[0]} cannot be run: {error.strerror}.") from None
        if done.returncode:
            raise TrialFailed(_last_line(done.stderr) or f"It ended with {done.returncode}.")
        return _read(done.stdout)

    return measure


def _is_mlx(variable: str) -> bool:
    return variable.startswith("MLX_")


def _read(text: str) -> TrialResult:
    try:
        found = TrialResult(**json.loads(text))
        samples = [*found.decode, *found.decode_rows, *found.prefill, *found.pause_s]
        if all((found.decode, found.decode_rows, found.prefill, found.pause_s, min(samples) > 0)):
            return found
    except (ValueError, TypeError):
        pass
    raise TrialFailed(f"It answered something else: {text[:80]!r}.")


def _last_line(text: str) -> str:
    return next(iter(reversed(text.strip().splitlines())), "")
