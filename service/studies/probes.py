"""Questions that the model answers by itself, judged: found once and kept, and what is calibrated on them."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from circuits.answered import Answered, answer_all
from circuits.hallucination.calibration import fit
from circuits.hallucination.features import features
from circuits.heads import calibrate_heads
from circuits.lab import Lab
from circuits.lens import look_at_answer
from circuits.probe import Probe
from engines.models import cache_dir, load_model, model_digest, resolve_model
from kb_store.factbank import load_facts_with_relation
from service.encoders.jobs import Progress

Note = Callable[[Progress], None]

# Where things are: the benchmark of the check asks for that (bench.hallucination_data says what it leaves out in turn).
# And codes, which no text says.
LEFT_OUT = frozenset(
    (
        "airport_city",
        "airport_code",
        "airport_code_city",
        "airport_country",
        "city_country",
        "country_code",
        "country_continent",
        "country_currency_code",
        "country_region",
        "place_location",
        "province_country",
    )
)
_ALTERNATIVES = 8
_HEAD_PROBES = 60


def builtin_probes(per_relation: int, rng: random.Random) -> list[tuple[str, Probe]]:
    """So many of each relation, with its name; in an order that mixes relations."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    templates: dict[str, Sequence[str]] = {}
    for info, content in load_facts_with_relation():
        if info.relation_id not in LEFT_OUT:
            pairs.setdefault(info.relation_id, []).append((content.subject, content.object))
            templates[info.relation_id] = [text.replace("{s}", "{}") for text in info.templates]
    found: list[tuple[str, Probe]] = []
    for name, known in pairs.items():
        found += probes_of(name, known, templates[name], per_relation, rng)
    rng.shuffle(found)
    return found


def probes_of(
    name: str,
    pairs: Sequence[tuple[str, str]],
    templates: Sequence[str],
    count: int,
    rng: random.Random,
) -> list[tuple[str, Probe]]:
    """Subjects and objects of a relation as questions; `{}` in a template is the subject."""
    objects = sorted({value for _, value in pairs})
    found = []
    for subject, value in rng.sample(list(pairs), min(count, len(pairs))):
        others = [other for other in objects if other != value]
        alternatives = tuple(rng.sample(others, min(_ALTERNATIVES, len(others))))
        prompt = rng.choice(list(templates)).replace("{}", subject)
        found.append((name, Probe(prompt, subject, value, alternatives=alternatives)))
    return found


def find_probes(model: str, per_relation: int, seed: int, note: Note) -> tuple[Path, list[dict[str, Any]]]:
    """The file that they are kept in, and the probes."""
    lab, digest = _lab(model)
    path = cache_dir() / "probes" / f"{digest}-{per_relation}-{seed}.json"
    if path.is_file():
        kept: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return path, kept
    found = [plain(item) for item in _answered(lab, per_relation, seed, note)]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
    return path, found


def plain(item: Answered) -> dict[str, Any]:
    """For JSON."""
    probe = item.probe
    return {
        "relation": item.relation,
        "prompt": probe.prompt,
        "subject": probe.subject,
        "object": probe.object,
        "alternatives": list(probe.alternatives),
        "answer": item.answer,
        "right": item.right,
    }


def counted(found: Sequence[dict[str, Any]]) -> str:
    """A line for each relation, and the sum."""
    total = Counter(item["relation"] for item in found)
    right = Counter(item["relation"] for item in found if item["right"])
    lines = [f"{name:24} {right[name]:4} of {count} right" for name, count in sorted(total.items())]
    return "\n".join([*lines, f"{'all':24} {right.total():4} of {total.total()} right"])


def calibrate_model(
    model: str, per_relation: int, seed: int, out: Path, note: Note, most: int | None = None
) -> list[str]:
    """Fits the check and the heads' thresholds on at most so many answers; writes both files and says what they
    hold."""
    lab, digest = _lab(model)
    probes = builtin_probes(per_relation, random.Random(seed))
    asked = hashlib.sha256(repr(probes).encode()).hexdigest()[:16]
    part = cache_dir() / "probes" / f"{digest}-{asked}-seen.jsonl"
    known = _seen(lab, probes[:most], part, note)[:most]
    calibration = fit(
        digest,
        [item["features"] for item in known],
        [not item["right"] for item in known],
        [item["relation"] for item in known],
    )
    right = [
        Probe(item["prompt"], item["subject"], item["object"], alternatives=tuple(item["alternatives"]))
        for item in known
        if item["right"]
    ][:_HEAD_PROBES]
    thresholds = calibrate_heads(lab, right, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    check, heads = out / f"calibration-{digest}.json", out / "head_thresholds.json"
    check.write_text(calibration.to_json(), encoding="utf-8")
    before = json.loads(heads.read_text(encoding="utf-8")) if heads.is_file() else {}
    values = {
        "mover": thresholds.mover,
        "relation": thresholds.relation,
        "false_positives": thresholds.false_positives,
        "probes": thresholds.probes,
    }
    heads.write_text(json.dumps({**before, digest: values}, indent=1) + "\n", encoding="utf-8")
    if most is None:
        part.unlink()
    return [
        f"{check}: {len(known)} answers, {len(right)} right, {len(calibration.relations)} relations",
        f"{heads}: movers from {thresholds.mover:.2f} logits, relation heads from {thresholds.relation:.2f}, "
        f"reached by {thresholds.false_positives:.1%} of spans that mean nothing",
    ]


def _seen(lab: Lab, probes: Sequence[tuple[str, Probe]], part: Path, note: Note) -> list[dict[str, Any]]:
    """Answers, and what is seen inside. A line of `part` for each batch: a run that was ended goes on from there."""
    lines = part.read_text(encoding="utf-8").splitlines(keepends=True) if part.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    found: list[dict[str, Any]] = [item for line in whole for item in json.loads(line)]
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("".join(whole), encoding="utf-8")
    for start in range(len(found), len(probes), lab.rows):
        note(Progress("answering", start / len(probes)))
        batch = [_inside(lab, item) for item in answer_all(lab, probes[start : start + lab.rows])]
        with part.open("a", encoding="utf-8") as file:
            file.write(json.dumps(batch) + "\n")
        found += batch
    return found


def _inside(lab: Lab, item: Answered) -> dict[str, Any]:
    seen = look_at_answer(lab, item.placed, item.tokens)
    return {**plain(item), "features": dict(features(lab, seen, item.placed, item.tokens).values)}


def _answered(lab: Lab, per_relation: int, seed: int, note: Note) -> list[Answered]:
    probes = builtin_probes(per_relation, random.Random(seed))
    found = []
    for count, item in enumerate(answer_all(lab, probes), 1):
        note(Progress("answering", count / len(probes)))
        found.append(item)
    return found


def _lab(model: str) -> tuple[Lab, str]:
    loaded, tokenizer = load_model(resolve_model(model))
    return Lab(loaded, tokenizer), model_digest(loaded)
