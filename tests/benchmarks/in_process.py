"""The other side of the comparison: mlx-lm's batch generator with nothing around it.

Reads lines ``streams tokens`` and answers each with the total tokens per second while
the whole batch decodes. Takes the folder that holds the expanded demo model.
"""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import make_logits_processors
from mlx_lm.utils import load_model

from mlxoss.demo import expand_demo
from mlxoss.harmony.conversation import Conversation, UserText
from mlxoss.harmony.encoding import load_encoding
from mlxoss.harmony.prompt import render_prompt
from tests.benchmarks.serve import END_IDS, QUESTION


def decode_rate(model: object, prompt: list[int], streams: int, tokens: int) -> float:
    """Tokens per second of a batch of equal greedy sequences, the first token left out."""
    processors = make_logits_processors(logit_bias=dict.fromkeys(END_IDS, -100.0))
    generator = BatchGenerator(
        model, completion_batch_size=streams, prefill_batch_size=streams, max_tokens=tokens
    )
    generator.insert([prompt] * streams, logits_processors=[processors] * streams)
    produced, start, end = 0, 0.0, 0.0
    unfinished = streams
    while unfinished:
        responses = generator.next_generated()
        end = time.perf_counter()
        if responses and not start:
            start = end
        else:
            produced += len(responses)
        unfinished -= sum(r.finish_reason is not None for r in responses)
    generator.close()
    return produced / (end - start)


def main(home: Path) -> None:
    """Serve the parent benchmark's orders until it closes the pipe."""
    model, _ = load_model(expand_demo(home / "cache"), lazy=False, strict=True)
    question = Conversation(items=(UserText(QUESTION),), date=datetime.date.today())
    prompt = render_prompt(load_encoding(), question)
    for line in sys.stdin:
        streams, tokens = (int(word) for word in line.split())
        sys.stdout.write(f"{decode_rate(model, prompt, streams, tokens)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
