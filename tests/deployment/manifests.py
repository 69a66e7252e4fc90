"""Manifests as they are applied: rendered by kustomize where kubectl is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.dockerfile import ROOT

FOLDER = ROOT / "ops" / "kubernetes"
OVERLAYS = ("base", "overlays/gpu", "overlays/single")
Manifest = dict[str, Any]


@cache
def rendered(path: Path) -> tuple[Manifest, ...]:
    """What `kubectl kustomize` makes of a folder. Skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: manifests are not rendered")
    done = subprocess.run(["kubectl", "kustomize", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, yaml.CSafeLoader))


def written() -> Iterator[tuple[Path, Manifest]]:
    """The documents of the base as they stand in its files."""
    for path in sorted((FOLDER / "base").glob("*.yaml")):
        if path.name != "kustomization.yaml":
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                yield path, document


def one(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """The manifest of that kind and name."""
    (found,) = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def workloads(manifests: tuple[Manifest, ...]) -> list[Manifest]:
    """What makes pods."""
    return [item for item in manifests if item["kind"] in ("Deployment", "StatefulSet")]


def pod(workload: Manifest) -> Manifest:
    """The specification of its pods."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def service_container(workload: Manifest) -> Manifest:
    """The container that runs the service."""
    return next(item for item in pod(workload)["containers"] if item["name"] == "interleaf")


def environment(workload: Manifest, manifests: tuple[Manifest, ...]) -> dict[str, str]:
    """Of the service, with a placeholder for what a secret holds."""
    container = service_container(workload)
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= one(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container.get("env", ()):
        found[entry["name"]] = entry.get("value", "postgresql+psycopg://interleaf:x@database/interleaf")
    return found


def matches(selector: dict[str, str], workload: Manifest) -> bool:
    """Whether a selector finds its pods."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    return all(labels.get(name) == value for name, value in selector.items())
