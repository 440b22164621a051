"""What ``GET /metrics`` reads when it is asked: what is so at the moment, or counted elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxoss import __version__
from mlxoss.engine.state import EngineState, EngineStatus
from mlxoss.server.memory import read_memory

if TYPE_CHECKING:
    from mlxoss.server.services import Services

_LAST_MINUTE = "Of all turns, mean of the last minute, idle time included."


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
            services.recoveries,
        )
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
        yield _gauge("problems", "As in 'problems' of /health.", len(services.state.problems()))
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
