"""The figures that are read when somebody scrapes: how full, how far behind, how well caches serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.app import Parts
from service.interceptors.admission import Load
from service.serving.compiled import CacheFigures


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask; each may be called from any thread."""

    model: str
    engine_load: Callable[[], tuple[int, int]]  # decoded, waiting
    cache: Callable[[], CacheFigures]
    index_lag: Callable[[], int]
    calls: Callable[[], tuple[Load, ...]]


def sources_of(parts: Parts, calls: Callable[[], tuple[Load, ...]]) -> Sources:
    """Those of a server; zeros where it has no model or no encoder."""
    model, compiled = parts.model, parts.compiled
    return Sources(
        model="" if model is None else model.engine.model_name,
        engine_load=lambda: (0, 0) if model is None else model.engine.load,
        cache=lambda: CacheFigures() if compiled is None else compiled.figures,
        index_lag=parts.indexer.lag,
        calls=calls,
    )


class Standing(Collector):
    """Asks at every scrape, in the thread that serves it."""

    def __init__(self, sources: Sources) -> None:
        self._sources, self._start = sources, time.time()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        sources = self._sources
        build = GaugeMetricFamily("interleaf_build", "1; what runs.", labels=("version", "model"))
        build.add_metric((version("interleaf"), sources.model), 1)
        yield build
        yield GaugeMetricFamily("interleaf_start_time_seconds", "When the server started.", self._start)
        yield GaugeMetricFamily(
            "interleaf_index_lag",
            "Changes of facts that are stored and cannot be found yet.",
            sources.index_lag(),
        )
        running, waiting = sources.engine_load()
        yield GaugeMetricFamily("interleaf_engine_batch", "Requests that are decoded together now.", running)
        yield GaugeMetricFamily("interleaf_engine_queue", "Requests that wait for the model now.", waiting)
        yield from self._of_cache(sources.cache())
        yield from self._of_admission(sources.calls())

    def _of_cache(self, figures: CacheFigures) -> Iterator[Metric]:
        lookups = CounterMetricFamily(
            "interleaf_compiled_lookups", "Look-ups of facts' tokens for answers.", labels=("result",)
        )
        lookups.add_metric(("hit",), figures.hits)
        lookups.add_metric(("miss",), figures.misses)
        yield lookups
        yield GaugeMetricFamily("interleaf_compiled_facts", "Facts whose tokens are at hand.", figures.facts)
        yield GaugeMetricFamily("interleaf_compiled_bytes", "Memory of those tokens.", figures.used_bytes)
        yield GaugeMetricFamily(
            "interleaf_compiled_capacity_bytes", "Memory that they may take.", figures.capacity_bytes
        )

    def _of_admission(self, loads: tuple[Load, ...]) -> Iterator[Metric]:
        limits = GaugeMetricFamily(
            "interleaf_admission_limit", "Calls of a kind that may run at once.", labels=("kind",)
        )
        refused = CounterMetricFamily(
            "interleaf_admission_refused", "Calls that were one too many.", labels=("kind",)
        )
        for load in loads:
            limits.add_metric((load.kind,), load.limit)
            refused.add_metric((load.kind,), load.refused)
        yield limits
        yield refused
