"""What ``GET /metrics`` counts of turns, and reads when asked. Imports prometheus-client: slow.

Names follow Prometheus's conventions: base units, ``_total`` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxoss import __version__
from mlxoss.engine.status import EngineState, EngineStatus
from mlxoss.server.monitor.memory import read_memory
from mlxoss.turns.request_log import RequestRecord

if TYPE_CHECKING:
    from mlxoss.server.services import Services
    from mlxoss.turns.hosted.runs import ToolCount

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

_LAST_MINUTE = "Of all turns, mean of the last minute, idle time included."

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
        self._of_clients = Counter(
            "mlxoss_client_requests", "Turns, by who asked.", ("client",), registry=registry
        )
        self._tokens_of_clients = Counter(
            "mlxoss_client_tokens",
            "Tokens, by who asked; cached ones are of the prompt, reasoning of the completion.",
            ("client", "kind"),
            registry=registry,
        )
        self._of_a_turn = {
            field: Histogram(f"mlxoss_{name}", text, buckets=buckets, registry=registry)
            for field, (name, text, buckets) in _OF_A_TURN.items()
        }

    def count(self, record: RequestRecord) -> None:
        """A turn ended."""
        self._requests.labels(record.endpoint, str(record.status)).inc()
        self._total_s.labels(record.endpoint).observe(record.total_s)
        for field, histogram in self._of_a_turn.items():
            if (value := getattr(record, field)) is not None:
                histogram.observe(value)
        if record.usage is not None:
            self._of_clients.labels(record.client).inc()
            for name, counter in self._tokens.items():
                count = getattr(record.usage, name)
                counter.inc(count)
                kind = name.removesuffix("_tokens")
                self._tokens_of_clients.labels(record.client, kind).inc(count)

    def render(self, store: Mapping[str, int] | None) -> bytes:
        """All of it in Prometheus's text format 0.0.4; ``store`` counts what is kept."""
        self._readings.store = store or {}
        return generate_latest(self._registry)


class Readings(Collector):
    """Reads everything anew each time. ``store`` is what the store's counts are taken from.

    The event loop's thread; never waits.
    """

    def __init__(self, services: Services) -> None:
        self.store: Mapping[str, int] = {}
        self._services = services

    def describe(self) -> list[Metric]:
        """Nothing ahead: else all would be read once to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        services = self._services
        engine = services.engine.status()
        yield from self._server()
        yield from _engine(engine)
        yield _labelled(
            CounterMetricFamily(
                "mlxoss_harmony_recoveries",
                "Where the model's output was put right.",
                labels=["kind"],
            ),
            services.turns.recoveries,
        )
        yield _count(
            "foreign_contents",
            "Encrypted contents in requests that another server or key sealed.",
            services.turns.foreign.count,
        )
        if services.turns.tools is not None:
            yield from _tools(services.turns.tools.counts)
        for name, size in read_memory(model_is_loaded=engine.state is EngineState.OK).items():
            owner = "memory" if name == "process_bytes" else "memory_mlx"
            yield _gauge(f"{owner}_{name}", "As in 'memory' of /health.", size)
        for name, count in self.store.items():
            yield _gauge(f"store_{name}", "What is kept.", count)

    def _server(self) -> Iterator[Metric]:
        services, status = self._services, self._services.status
        about = GaugeMetricFamily("mlxoss_build_info", "What runs.", labels=["version", "model"])
        about.add_metric([__version__, services.model.name], 1)
        yield about
        yield _gauge("uptime_seconds", "Since the start.", services.clock() - services.started_at)
        yield _gauge("problems", "As in 'problems' of /health.", len(services.problems()))
        yield _labelled(
            GaugeMetricFamily("mlxoss_status", "1 for the status of /health.", labels=["status"]),
            {each.value: int(each is status) for each in type(status)},
        )


def _engine(engine: EngineStatus) -> Iterator[Metric]:
    yield _gauge("running_requests", "Sequences that run.", engine.active)
    yield _gauge("queued_requests", "Sequences that wait for a slot.", engine.waiting)
    yield _gauge("paused_requests", "Sequences that wait for memory to go on.", engine.paused)
    yield _count("pauses", "How often a sequence was paused for want of memory.", engine.pauses)
    yield _gauge("oldest_wait_seconds", "Of those that wait.", engine.oldest_wait_s)
    yield _gauge("decode_tokens_per_second", _LAST_MINUTE, engine.decode_tokens_per_s)
    yield _gauge("prefill_tokens_per_second", _LAST_MINUTE, engine.prefill_tokens_per_s)
    yield _count("refused_requests", "Requests that found the queue full.", engine.refused)
    if engine.prefix_cache is None:
        return
    for name, value in asdict(engine.prefix_cache).items():
        make = _count if "hit" in name else _gauge
        yield make(f"prefix_cache_{name}", "As in 'prefix_cache' of /health.", value)


_OF_A_TOOL: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "calls": ("tool_calls", "Calls of tools that this server runs, once they ended."),
        "failures": ("tool_failures", "Calls of these that failed."),
        "seconds": ("tool_seconds", "How long these calls took."),
    }
)
"""A tool's counts: name and text of each."""


def _tools(counts: Mapping[str, ToolCount]) -> Iterator[Metric]:
    for field, (name, text) in _OF_A_TOOL.items():
        family = CounterMetricFamily(f"mlxoss_{name}", text, labels=["tool"])
        yield _labelled(family, {tool: getattr(each, field) for tool, each in counts.items()})


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mlxoss_{name}", text, value=value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"mlxoss_{name}", text, value=value)


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]
) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
