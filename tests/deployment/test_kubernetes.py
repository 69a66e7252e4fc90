"""Manifests: valid for Kubernetes, pods that may do nothing they need not, and names that lead somewhere."""

from __future__ import annotations

import copy
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import ENV_PREFIX, Settings, load
from service.server import SERVICES
from tests.deployment.dockerfile import ROOT, read
from tests.deployment.manifests import (
    FOLDER,
    OVERLAYS,
    Manifest,
    environment,
    matches,
    one,
    pod,
    rendered,
    service_container,
    workloads,
    written,
)
from tests.deployment.test_compose import known_setting
from tests.deployment.test_dockerfile import EXACT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import kubernetes_validate

VERSIONS = (
    "1.31",
    "1.37",
)  # the oldest that is supported here (probes by gRPC, a sleep before the end), and the newest
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    return rendered(FOLDER / request.param)


def validate(document: Manifest, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_what_is_written(version: str) -> None:
    documents = list(written())
    assert len(documents) > 8
    for _, document in documents:
        validate(document, version)


def test_kubernetes_accepts_what_is_rendered(manifests: tuple[Manifest, ...]) -> None:
    for document in manifests:
        validate(document, VERSIONS[-1])


def test_a_misspelt_field_is_refused() -> None:
    """Power check."""
    facts = next(document for path, document in written() if path.name == "facts.yaml")
    wrong = copy.deepcopy(facts)
    pod(wrong)["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong, VERSIONS[-1])


def test_pods_may_do_nothing_that_they_need_not(manifests: tuple[Manifest, ...]) -> None:
    _, (_, image) = read()
    user = int(image.of("USER")[-1].partition(":")[0])
    for workload in workloads(manifests):
        spec = pod(workload)
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["fsGroup"]) == (True, user, user)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        one(manifests, "ServiceAccount", spec["serviceAccountName"])
        for container in spec["containers"]:
            held = container["securityContext"]
            assert held["readOnlyRootFilesystem"] is True
            assert held["allowPrivilegeEscalation"] is False
            assert held["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}
            assert "memory" in container["resources"]["limits"]
            assert EXACT.fullmatch(container["image"]), container["image"]


def test_probes_ask_services_that_exist_on_the_port_for_health(manifests: tuple[Manifest, ...]) -> None:
    _, (_, image) = read()
    port = int(image.environment()["INTERLEAF_LISTEN__HEALTH_PORT"])
    for workload in workloads(manifests):
        container = service_container(workload)
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[name]["grpc"]["port"] == port
        asked = container["readinessProbe"]["grpc"]["service"]
        assert asked in SERVICES
        # A pod without a model never serves Inference: it would never be ready.
        assert (asked == "interleaf.v1.Inference") == (
            environment(workload, manifests)["INTERLEAF_ENGINE__KIND"] != "none"
        )


def test_the_service_takes_the_configuration_that_it_is_given(
    manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (_, image) = read()
    for workload in workloads(manifests):
        for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
            monkeypatch.delenv(name)
        given = {**image.environment(), **environment(workload, manifests)}
        for name, value in given.items():
            if name.startswith(ENV_PREFIX) and name != "INTERLEAF_CACHE":
                assert known_setting(name), name
                monkeypatch.setenv(name, value)
        settings = load(None, {})
        assert settings.listen.host == "0.0.0.0"  # noqa: S104 - of a pod
        _check_files(workload, settings)
        spec, container = pod(workload), service_container(workload)
        wait = container["lifecycle"]["preStop"]["sleep"]["seconds"] + settings.listen.grace_seconds
        assert spec["terminationGracePeriodSeconds"] > wait
        ports = {item["name"]: item["containerPort"] for item in container["ports"]}
        listen = settings.listen
        assert ports == {
            "grpc": listen.port,
            "https": settings.http.port_beside(listen.port),
            "health": listen.health_port,
        }


def _check_files(workload: Manifest, settings: Settings) -> None:
    """Every file that is configured lies in a volume that is mounted."""
    mounted = [Path(item["mountPath"]) for item in service_container(workload)["volumeMounts"]]
    security = settings.security
    for path in (security.tls_certificate, security.tls_key, security.api_keys_file, settings.store.data_dir):
        assert path is not None
        assert any(path.is_relative_to(folder) for folder in mounted), path
    assert settings.store.data_dir / "page-token.key" in mounted
    volumes = {item["name"] for item in pod(workload).get("volumes", ())}
    volumes |= {item["metadata"]["name"] for item in workload["spec"].get("volumeClaimTemplates", ())}
    assert {item["name"] for item in service_container(workload)["volumeMounts"]} <= volumes


def test_selectors_find_pods_and_ports_have_names(manifests: tuple[Manifest, ...]) -> None:
    found = workloads(manifests)
    for item in manifests:
        if item["kind"] in ("Deployment", "StatefulSet"):
            assert matches(item["spec"]["selector"]["matchLabels"], item)
        elif item["kind"] == "Service":
            (target,) = [workload for workload in found if matches(item["spec"]["selector"], workload)]
            names = {port["name"] for port in service_container(target)["ports"]}
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= names
        elif item["kind"] == "PodDisruptionBudget":
            assert sum(matches(item["spec"]["selector"]["matchLabels"], workload) for workload in found) == 1
        elif item["kind"] == "NetworkPolicy":
            chosen = item["spec"]["podSelector"]["matchLabels"]
            assert [workload for workload in found if not matches(chosen, workload)] == []
        elif item["kind"] == "HorizontalPodAutoscaler":
            target = item["spec"]["scaleTargetRef"]
            one(manifests, target["kind"], target["name"])
        elif item["kind"] == "Ingress":
            for backend in _backends(item):
                service = one(manifests, "Service", backend["name"])
                assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    for workload in found:
        if workload["kind"] == "StatefulSet":
            headless = one(manifests, "Service", workload["spec"]["serviceName"])
            assert headless["spec"]["clusterIP"] == "None"


def _backends(ingress: Manifest) -> list[Manifest]:
    return [path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]


def test_grpc_is_routed_by_services_that_exist() -> None:
    ingress = next(item for _, item in written() if item["metadata"]["name"] == "interleaf-grpc")
    paths = [path["path"].strip("/") for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    assert set(filter(None, paths)) <= set(SERVICES)
    assert "interleaf.v1.Inference" in paths


def test_secrets_are_named_documented_and_not_here(manifests: tuple[Manifest, ...]) -> None:
    assert [item for item in manifests if item["kind"] == "Secret"] == []
    documented = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for workload in workloads(manifests):
        named = {volume["secret"]["secretName"] for volume in pod(workload)["volumes"] if "secret" in volume}
        named |= {
            entry["valueFrom"]["secretKeyRef"]["name"]
            for entry in service_container(workload).get("env", ())
            if "valueFrom" in entry
        }
        assert all(name in documented for name in named), named


def test_overlays_do_what_they_say() -> None:
    gpu = one(rendered(FOLDER / "overlays/gpu"), "StatefulSet", "interleaf-engine")
    container = service_container(gpu)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod(gpu)["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert container["image"].endswith("-gpu")
    single = rendered(FOLDER / "overlays/single")
    (alone,) = workloads(single)
    assert alone["spec"]["replicas"] == 1
    assert "INTERLEAF_STORE__DATABASE_URL" not in environment(alone, single)


def test_figures_join_the_engines_by_loopback(tmp_path: Path) -> None:
    """The component, used as its first lines say."""
    use: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(FOLDER / "base", tmp_path)],
        "components": [os.path.relpath(FOLDER / "components/figures", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(use), encoding="utf-8")
    manifests = rendered(tmp_path)
    for document in manifests:
        validate(document, VERSIONS[-1])
    engine = one(manifests, "StatefulSet", "interleaf-engine")
    port = environment(engine, manifests)["INTERLEAF_METRICS__PORT"]
    example = yaml.safe_load(
        (FOLDER / "components/figures/prometheus.example.yml").read_text(encoding="utf-8")
    )
    assert example["scrape_configs"][0]["static_configs"][0]["targets"] == [f"127.0.0.1:{port}"]
    agent = next(item for item in pod(engine)["containers"] if item["name"] == "figures")
    assert "--web.listen-address=127.0.0.1:9090" in agent["args"]
    assert (
        agent["image"]
        == yaml.safe_load((ROOT / "ops" / "compose.yaml").read_text())["services"]["prometheus"]["image"]
    )
