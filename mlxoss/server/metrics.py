"""What ``GET /metrics`` counts of turns. Imports prometheus-client, which is slow.

Names follow Prometheus's conventions: base units, ``_total`` for what only grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from mlxoss.server.readings import Readings
from mlxoss.server.turn_records import TurnRecord

if TYPE_CHECKING:
    from mlxoss.server.services import Services

_SHORT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LONG_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_DECODE_RATES = (1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 400)
_PREFILL_RATES = (10, 25, 50, 100, 250, 500, 1000, 2000, 4000, 8000)

_TOKENS: MappingProxyType[str, str] = MappingProxyType(
    {
        "prompt_tokens": "Tokens of prompts.",
        "cached_tokens": "Tokens of prompts that needed no computing.",
        "completion_tokens": "Tokens that the model wrote.",
        "reasoning_tokens": "Tokens of these that were reasoning.",
    }
)
"""What is counted of a record's usage."""

_Shape = tuple[str, str, tuple[float, ...]]
_OF_A_TURN: MappingProxyType[str, _Shape] = MappingProxyType(
    {
        "wait_s": ("queue_wait_seconds", "From submission to a slot.", _SHORT_S),
        "ttft_s": ("time_to_first_token_seconds", "From the request to a token.", _SHORT_S),
        "decode_tokens_per_s": (
            "turn_decode_tokens_per_second",
            "A turn's rate behind its first token.",
            _DECODE_RATES,
        ),
        "prefill_tokens_per_s": (
            "turn_prefill_tokens_per_second",
            "A prompt's rate, without what was cached.",
            _PREFILL_RATES,
        ),
    }
)
"""A record's values that are put into histograms: name, text and bounds."""


class Metrics:
    """Counts of turns that ended, and readings taken when asked, in a registry of their own.

    The event loop's thread.
    """

    def __init__(self, services: Services) -> None:
        self._registry = registry = CollectorRegistry()
        self._readings = Readings(services)
        registry.register(self._readings)
        self._requests = Counter(
            "mlxoss_requests",
            "Requests for a turn, by what became of them.",
            ("endpoint", "status"),
            registry=registry,
        )
        self._total_s = Histogram(
            "mlxoss_request_duration_seconds",
            "From the request to the last byte.",
            ("endpoint",),
            buckets=_LONG_S,
            registry=registry,
        )
        self._tokens = {
            name: Counter(f"mlxoss_{name}", text, registry=registry)
            for name, text in _TOKENS.items()
        }
        self._of_a_turn = {
            field: Histogram(f"mlxoss_{name}", text, buckets=buckets, registry=registry)
            for field, (name, text, buckets) in _OF_A_TURN.items()
        }

    def count(self, record: TurnRecord) -> None:
        """A turn ended."""
        self._requests.labels(record.endpoint, str(record.status)).inc()
        self._total_s.labels(record.endpoint).observe(record.total_s)
        for field, histogram in self._of_a_turn.items():
            if (value := getattr(record, field)) is not None:
                histogram.observe(value)
        if record.usage is not None:
            for name, counter in self._tokens.items():
                counter.inc(getattr(record.usage, name))

    def render(self, store: Mapping[str, int] | None) -> bytes:
        """All of it in Prometheus's text format 0.0.4; ``store`` counts what is kept."""
        self._readings.store = store or {}
        return generate_latest(self._registry)
