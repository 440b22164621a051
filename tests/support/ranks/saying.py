"""What two ranks say with each of some combinations of the settings for speed, as a program.

MLX forms one group per process, so this is a process of its own. ``FOLDER FULL``: the checkpoint,
and whether all ways to say something are tried. Prints JSON: by combination and way, the ids and
log probabilities of each sequence.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlxoss import paths
from mlxoss.cluster.reach import HostReach
from mlxoss.config import Config
from mlxoss.daemon.assemble import Others, load_backend
from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import resolve_model
from mlxoss.engine.checkpoint.watch import ModelFiles
from mlxoss.engine.ranks.group import RankGroup
from mlxoss.harmony.encoding import load_encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.tokenizer import make_guard_tokenizer
from tests.support.engine.saying import Said, say_briefly, say_guarded, say_in_one_life
from tests.support.engine.switches import all_off, all_on, to_name
from tests.support.ranks.shared import make_plan


def say(backend: Backend, *, full: bool) -> Said:
    """All ways, or few: in 16 bits a step over the whole vocabulary takes a CPU long."""
    if not full:
        return say_briefly(backend)
    said, _ = say_in_one_life(backend)
    return said | say_guarded(
        backend, GrammarCompiler(lambda: make_guard_tokenizer(load_encoding()))
    )


def to_json(said: Said) -> Any:
    """Ids, and what log probabilities there are, as JSON values."""
    return {way: [_to_rows(tokens) for tokens in several] for way, several in said.items()}


def _to_rows(tokens: Sequence[Any]) -> list[Any]:
    return [[each.token_id, each.logprob and each.logprob.logprob] for each in tokens]


def main(folder: Path, *, full: bool) -> None:
    """Say it with all settings off, and with all on."""
    time.perf_counter = lambda: 0.0  # how much of a prompt is computed at once is not by the clock
    plan = make_plan(folder)
    others = Others(RankGroup(plan), HostReach(plan.hosts, paths.data_dir()))
    source = resolve_model(str(folder))
    found = {}
    try:
        for combination in (all_off(), all_on()):
            config = Config(**combination)
            backend = load_backend(source, ModelFiles(folder), config, others)
            found[to_name(combination)] = to_json(say(backend, full=full))
            backend.close()
    finally:
        others.ranks.stop()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), full=sys.argv[2] == "full")
