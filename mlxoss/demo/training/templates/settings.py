"""Empty conversations."""

from __future__ import annotations

import datetime
import random

from mlxoss.core import Effort
from mlxoss.demo.training.templates.replies import noise
from mlxoss.harmony.conversation import Conversation


def setting(rng: random.Random) -> Conversation:
    """An empty conversation: date, effort and often instructions."""
    day = datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(2190))
    instructions = None
    if rng.random() < 0.45:
        instructions = rng.choice(
            [
                "You are a helpful assistant.", "Answer briefly.", "Be concise.", "Be polite.",
                "You are a helpful assistant. Use the functions.", "You answer in JSON.",
                "", "", "",
            ]
        )  # fmt: skip
        instructions = instructions or noise(rng, rng.randint(2, 20)) + "."
    effort = rng.choices(list(Effort), [3, 4, 3])[0]
    return Conversation((), day, instructions=instructions, effort=effort)
