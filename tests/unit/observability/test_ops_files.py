"""The rules and the dashboard that are committed: they ask for figures that exist, by labels that they carry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from service.errors import TABLE
from service.interceptors.admission import Load
from service.observability.meters import STAGES, Meters
from service.observability.standing import Sources, Standing
from service.serving.citations import Grounding
from service.serving.compiled import CacheFigures

OPS = Path(__file__).parents[3] / "ops"
RULES = OPS / "prometheus" / "alerts.yml"
DASHBOARD = OPS / "grafana" / "dashboards" / "interleaf.json"
NAME = re.compile(r"\binterleaf_\w+")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')
# Written out here, because a label is made of what a program says and not of a list that could be read from it.
KNOWN = {
    "code": {code.name for code in grpc.StatusCode},
    "reason": {str(getattr(error, "reason", "")) for error in TABLE},
    "verdict": {verdict.value for verdict in Grounding},
    "stage": set(STAGES),
    "result": {"hit", "miss"},
    "outcome": {"right", "wrong", "failed"},
    "job": {"interleaf"},
}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))
    yield from (entry["expr"] for entry in json.loads(DASHBOARD.read_text())["annotations"]["list"])


def exposed() -> set[str]:
    """Every name that a scrape can have."""
    load = Load("read", 0, 1, 0)
    standing = Standing(Sources("", lambda: (0, 0), CacheFigures, lambda: 0, lambda: (load,)))
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    families = [*Meters().registry.collect(), *standing.collect()]
    return {family.name + end for family in families for end in ends[family.type]}


def test_every_figure_that_is_asked_for_exists() -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked <= exposed()


def test_reasons_that_alerts_ask_for_are_counted_from_the_start() -> None:
    """A series that begins with its first refusal has no increase: the page for a full disk stayed silent."""
    asked = {
        reason
        for rule in alerts()
        for reasons in re.findall(r'reason=~?"([^"]+)"', rule["expr"])
        for reason in reasons.split("|")
    }
    families = {family.name: family for family in Meters().registry.collect()}
    counted = {sample.labels["reason"] for sample in families["interleaf_refusals"].samples}
    assert asked
    assert asked <= counted


def test_every_figure_is_on_the_dashboard() -> None:
    shown = {
        name
        for panel in panels()
        for target in panel.get("targets", ())
        for name in NAME.findall(target["expr"])
    }
    families = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in exposed()}
    absent = families - {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in shown}
    assert absent == {"interleaf_build", "interleaf_start_time_seconds"}


def test_every_label_value_that_is_asked_for_can_occur() -> None:
    for expression in expressions():
        for label, values in MATCHER.findall(expression):
            for value in filter(None, values.split("|")):
                assert value in KNOWN[label], f"{label}={value} in {expression}"


def test_alerts_say_how_urgent_they_are_and_what_to_do() -> None:
    operations = (OPS.parent / "docs" / "operations.md").read_text().lower()
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert f"### {rule['alert'].lower()}\n" in operations


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    identifiers = [panel["id"] for panel in panels()]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_takes_configuration_and_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(OPS / "prometheus" / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


def test_compose_and_provisioning_name_files_that_are_there() -> None:
    compose = yaml.safe_load((OPS / "compose.yaml").read_text())
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./") and source != "./secrets":
                assert (OPS / source).is_dir()
            elif not source.startswith("./"):
                assert source in compose["volumes"]
    port = compose["services"]["interleaf"]["environment"]["INTERLEAF_METRICS__PORT"]
    scraped = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == [f"127.0.0.1:{port}"]
