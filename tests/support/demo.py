"""What the demo model is asked by those who want its answer to be right."""

from __future__ import annotations

from tests.support.http import Listening, ask

SUM = "2 + 3 = 5."


def ask_for_the_sum(server: Listening | int) -> str:
    """The answer to one of its own questions; greedy, since a sampled one may be anything."""
    body = {
        "model": "mlxoss-demo",
        "messages": [{"role": "user", "content": "What is 2 + 3?"}],
        "temperature": 0,
    }
    answer = ask(server, "POST", "/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    said: str = answer.json["choices"][0]["message"]["content"]
    return said
