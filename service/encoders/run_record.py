"""The record of a training: what it was made from, on what, for how long, and how the losses went.

Beside the encoder: `record.json` for programs, `record.md` for people, `curve.svg` for the eye. A training that
was interrupted has several sittings, each noted while it lasts in `run/sittings.json`, so that hours add up.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from editors.kv.storage import write_text
from service.encoders.recipe_file import recipe_text
from service.encoders.shelf import SITTINGS
from service.pictures.chart import Line, line_chart, smoothed

RECORD, PAGE, PICTURE = "record.json", "record.md", "curve.svg"
_SAVE_SECONDS = 20.0
_POINTS = 200

Curve = list[dict[str, float]]


def hardware() -> dict[str, Any]:
    """What this process computes on."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


class Sitting:
    """One go at a training, from its start (or a resumption) to its end or interruption."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SITTINGS
        self._earlier = read_sittings(folder)
        self._began, self._clock = datetime.now(UTC), time.monotonic()
        self._saved = -_SAVE_SECONDS
        self._steps: list[int] = []
        self._hardware = hardware()

    def step(self, number: int) -> None:
        """Notes a step; on disk at most every so many seconds."""
        self._steps = [self._steps[0] if self._steps else number, number]
        if time.monotonic() - self._saved >= _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Puts it on disk."""
        self._saved = time.monotonic()
        own = {
            "began": self._began.isoformat(timespec="seconds"),
            "seconds": round(self._saved - self._clock, 1),
            "steps": self._steps,
            "hardware": self._hardware,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, json.dumps([*self._earlier, own], indent=1) + "\n")


def read_sittings(folder: Path) -> list[dict[str, Any]]:
    """All that are known of an encoder's folder."""
    try:
        found: list[dict[str, Any]] = json.loads((folder / SITTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return found


def write_record(folder: Path, manifest: Mapping[str, Any]) -> tuple[Path, ...]:
    """Writes the three files; `manifest` is what `train_encoder` returned."""
    sittings, curve = read_sittings(folder), read_curve(folder)
    record = {
        "encoder": folder.name,
        "model": {"name": manifest["model"], "digest": manifest["model_digest"]},
        "recipe": manifest["recipe"],
        "data": manifest["data"],
        "embedder_taken_from": manifest["embedder_taken_from"],
        "closer_taken_from": manifest["closer_taken_from"],
        "excluded_pairs": manifest["excluded_pairs"],
        "figures": manifest["figures"],
        "hours": round(sum(sitting["seconds"] for sitting in sittings) / 3600, 2),
        "sittings": sittings,
        "curve": _thinned(curve),
    }
    paths = folder / RECORD, folder / PAGE, folder / PICTURE
    for path, text in zip(
        paths, (json.dumps(record, indent=1) + "\n", _page(record), _picture(curve)), strict=True
    ):
        write_text(path, text)
    return paths


def read_curve(folder: Path) -> Curve:
    """The losses step by step: in full where the run's checkpoint is still there, else as they were kept."""
    whole = folder / "run" / "curve.json"
    if whole.is_file():
        found: Curve = json.loads(whole.read_text(encoding="utf-8"))["curve"]
        return found
    kept: Curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    return kept


def _picture(curve: Curve) -> str:
    names = [name for name in curve[0] if name != "step"] if curve else []
    lines = [Line(name, smoothed([(item["step"], item[name]) for item in curve])) for name in names]
    return line_chart("Losses while training (running mean)", "step", "loss", lines)


def _thinned(curve: Curve) -> Curve:
    """Means over equal stretches."""
    size = max(1, -(-len(curve) // _POINTS))
    stretches = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [
        {key: round(sum(item[key] for item in stretch) / len(stretch), 4) for key in stretch[0]}
        for stretch in stretches
    ]


def _made(taken_from: str) -> str:
    return f"as taught for {taken_from}" if taken_from else "taught here"


def _page(record: Mapping[str, Any]) -> str:
    excluded = record["excluded_pairs"]
    rows = [
        ("model", f"{record['model']['name']} ({record['model']['digest']})"),
        ("hours", f"{record['hours']:g}"),
        *((f"data: {name}", str(digest)) for name, digest in sorted(record["data"].items())),
        ("embedder", _made(record["embedder_taken_from"])),
        (
            "closer look",
            _made(record["closer_taken_from"]) if record["recipe"]["closer"]["steps"] else "none",
        ),
        ("pairs never trained on", f"{excluded['count']} ({excluded['sha256']})" if excluded else "none"),
    ]
    parts = [f"# Training of {record['encoder']}", "", *_table(("what", "value"), rows)]
    parts += ["", "## Figures at the end", ""]
    parts += _table(
        ("figure", "value"), [(name, f"{value:.3f}") for name, value in record["figures"].items()]
    )
    parts += ["", "## Losses", "", f"![losses over steps]({PICTURE})", ""]
    last = record["curve"][-1] if record["curve"] else {}
    parts += _table(("loss", "at the end"), [(name, f"{value:g}") for name, value in last.items()])
    parts += ["", "## Sittings", ""]
    parts += _table(("began", "hours", "steps", "on"), [_sitting_row(item) for item in record["sittings"]])
    parts += ["", "## Recipe", "", "```toml", recipe_text(record["recipe"]).rstrip(), "```", ""]
    return "\n".join(parts)


def _sitting_row(sitting: Mapping[str, Any]) -> tuple[str, ...]:
    machine = sitting["hardware"]
    named = [
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores",
        machine.get("gpu", ""),
    ]
    steps = " to ".join(str(step) for step in sitting["steps"])
    return sitting["began"], f"{sitting['seconds'] / 3600:.2f}", steps, ", ".join(filter(None, named))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *(list(row) for row in rows))]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None
