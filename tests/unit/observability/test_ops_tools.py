"""Rules and dashboard in the eyes of those who will read them: Prometheus's own tool, and Grafana's schema."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.unit.observability.test_ops_files import DASHBOARD, OPS, alerts, expressions

CASES = OPS / "prometheus" / "alerts_test.yml"
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def told(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@promtool
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    done = told("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_an_alert_that_fires_wrongly_is_noticed(tmp_path: Path) -> None:
    """Power check: the same cases on rules with one threshold moved."""
    rules = (OPS / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    (tmp_path / "alerts.yml").write_text(rules.replace("> 0.01 * sum", "> 0.5 * sum"), encoding="utf-8")
    shutil.copy(CASES, tmp_path)
    assert told("test", "rules", tmp_path / CASES.name).returncode != 0


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: dict[bool, set[str]] = {True: set(), False: set()}
    for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for check in case["alert_rule_test"]:
            fires[bool(check["exp_alerts"])].add(check["alertname"])
    names = {rule["alert"] for rule in alerts()}
    assert fires[True] == names
    assert fires[False] == names


@promtool
def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"checked:expression:{number}", "expr": re.sub(r"\$__\w+", "5m", expression)}
        for number, expression in enumerate(expressions())
    ]
    assert len(rules) > 30
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = told("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


# What Grafana's data source for Prometheus reads beside its schema.
OF_THE_SOURCE = {"titleFormat"}


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """What is in `before` and not, with the same value, in `after`."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            return [path]
        return [
            name for key, value in before.items() for name in lost(value, after.get(key), f"{path}/{key}")
        ]
    if isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            return [path]
        pairs = enumerate(zip(before, after, strict=True))
        return [name for number, (old, new) in pairs for name in lost(old, new, f"{path}/{number}")]
    return [] if before == after else [path]


def through_grafana(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Read into Grafana's types and written again: what they do not know is gone."""
    register_default_plugins()
    read = Dashboard.from_json(json.loads(json.dumps(dashboard)))
    written: dict[str, Any] = json.loads(JSONEncoder().encode(read))
    return written


def test_the_dashboard_is_one_to_grafana() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    missing = lost(dashboard, through_grafana(dashboard))
    assert [path for path in missing if path.rpartition("/")[2] not in OF_THE_SOURCE] == []


def test_what_grafana_does_not_know_is_noticed() -> None:
    """Power check: misspelt fields of the dashboard, of a panel, of its field configuration."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panel = next(panel for panel in dashboard["panels"] if panel["type"] != "row")
    dashboard["schemaVerzion"] = 39
    panel["fieldConfig"]["defaults"]["unitt"] = "s"
    panel["gridPoss"] = {}
    missing = {path.rpartition("/")[2] for path in lost(dashboard, through_grafana(dashboard))}
    assert missing - OF_THE_SOURCE == {"unitt", "gridPoss", "schemaVerzion"}
