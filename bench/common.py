"""What every benchmark shares: arguments, machine, intervals, the result file and the last line.

    bench = Bench("store")
    ...
    bench.finish({"creates_per_s_1": 240.1}, n=20_000, rows=[...])

The last line on stdout is one flat JSON object; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "torch", "transformers", "faiss-cpu", "grpcio", "sqlalchemy", "interleaf")


class Bench:
    """One run of one benchmark: its arguments, its clock and its result."""

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        argv: Sequence[str] | None = None,
        add_arguments: Callable[[argparse.ArgumentParser], None] | None = None,
    ) -> None:
        parser = argparse.ArgumentParser(prog=f"bench.{name}", description=description or None)
        parser.add_argument("--size", choices=("quick", "full"), default=os.environ.get("SIZE", "quick"))
        parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "0")))
        parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
        if add_arguments is not None:
            add_arguments(parser)
        self.args = parser.parse_args(argv)
        self.name = name
        self.size: str = self.args.size
        self.seed: int = self.args.seed
        self.random = random.Random(self.seed)
        self._started = time.perf_counter()

    @property
    def full(self) -> bool:
        """Whether the published figures are asked for."""
        return self.size == "full"

    def log(self, message: str) -> None:
        """Says where the run is, on stderr."""
        print(
            f"[{self.name} {time.perf_counter() - self._started:7.1f}s] {message}",
            file=sys.stderr,
            flush=True,
        )

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Logs the begin and the duration of a part."""
        self.log(f"{title} ...")
        started = time.perf_counter()
        yield
        self.log(f"{title}: {time.perf_counter() - started:.1f} s")

    def finish(
        self,
        keys: Mapping[str, Any],
        *,
        n: int,
        model: str = "none",
        rows: Sequence[Mapping[str, Any]] = (),
        configuration: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Writes results/NAME-SIZE.json and prints the last line. Values in `keys` must be flat."""
        summary: dict[str, Any] = {
            "bench": self.name,
            "size": self.size,
            "seed": self.seed,
            "model": model,
            "n": n,
            "seconds": round(time.perf_counter() - self._started, 1),
            "machine": machine(),
        }
        summary |= {key: _rounded(value) for key, value in keys.items()}
        whole = summary | {
            "versions": versions(),
            "configuration": dict(configuration or {}),
            "rows": [dict(row) for row in rows],
        }
        results: Path = self.args.results
        results.mkdir(parents=True, exist_ok=True)
        target = results / f"{self.name}-{self.size}.json"
        target.write_text(
            json.dumps(whole, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
        )
        print(json.dumps(summary, ensure_ascii=False, default=str), flush=True)
        return summary


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value


def machine() -> str:
    """Processor, cores and memory, in one line."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    with contextlib.suppress(OSError, ValueError):
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{name}, {cores} cores{memory}, {platform.system()}"


def versions() -> dict[str, str]:
    """Python and the packages that decide about figures."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def interval(
    samples: Sequence[Any],
    *,
    statistic: Callable[[Sequence[Any]], float] = statistics.fmean,
    clusters: Sequence[Hashable] | None = None,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile bootstrap of a statistic. `clusters`: what each sample belongs to, where those that belong
    together are alike (questions about one relation); they are drawn whole."""
    if not samples:
        raise ValueError("an interval needs at least one sample")
    groups: dict[Hashable, list[Any]] = {}
    for cluster, sample in zip(clusters or range(len(samples)), samples, strict=True):
        groups.setdefault(cluster, []).append(sample)
    parts, draw = list(groups.values()), random.Random(seed)
    values = sorted(
        statistic([sample for part in draw.choices(parts, k=len(parts)) for sample in part])
        for _ in range(rounds)
    )
    return values[int(0.025 * rounds)], values[min(rounds - 1, int(0.975 * rounds))]


def share_keys(
    name: str,
    outcomes: Sequence[bool] | Sequence[int],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """`name`, `name_lo`, `name_hi` of a 0..1 rate. Without `clusters` (see `interval`) the binomial draw is the
    bootstrap of yes/no outcomes."""
    import numpy as np

    if clusters is not None:
        return sample_keys(name, [float(bool(outcome)) for outcome in outcomes], clusters=clusters, seed=seed)
    count = len(outcomes)
    if count == 0:
        raise ValueError(f"{name}: no outcomes")
    share = sum(map(bool, outcomes)) / count
    drawn = np.random.default_rng(seed).binomial(count, share, size=4000) / count
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {name: share, f"{name}_lo": float(low), f"{name}_hi": float(high)}


def sample_keys(
    name: str,
    samples: Sequence[Any],
    *,
    statistic: Callable[[Sequence[Any]], float] = statistics.fmean,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """`name`, `name_lo`, `name_hi` of a statistic over repeated measurements; for `clusters` see `interval`."""
    low, high = interval(samples, statistic=statistic, clusters=clusters, seed=seed)
    return {name: statistic(samples), f"{name}_lo": low, f"{name}_hi": high}


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of them do not exceed."""
    if not samples:
        raise ValueError("a percentile needs at least one sample")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
