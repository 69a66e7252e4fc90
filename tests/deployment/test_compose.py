"""The compose files: valid, hardened, and naming what is there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft202012Validator

from service.config import DELIMITER, ENV_PREFIX, Settings
from tests.deployment.dockerfile import ROOT
from tests.deployment.test_dockerfile import EXACT

OPS = ROOT / "ops"
FILES = ("compose.yaml", "compose.postgres.yaml")


def loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OPS / name).read_text(encoding="utf-8"))
    return found


def known_setting(name: str) -> bool:
    """Whether INTERLEAF_SECTION__KEY is a key of the configuration."""
    section, _, key = name.removeprefix(ENV_PREFIX).lower().partition(DELIMITER)
    field = Settings.model_fields.get(section)
    return field is not None and key in getattr(field.annotation, "model_fields", {})


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The schema of the compose specification, as a package brings it."""
    return Draft202012Validator(get_builtin_schema("vendor.compose-spec"))


@pytest.mark.parametrize("name", FILES)
def test_the_schema_of_compose_accepts_it(name: str, schema: Draft202012Validator) -> None:
    assert [error.message for error in schema.iter_errors(loaded(name))] == []


def test_the_schema_refuses_what_is_wrong(schema: Draft202012Validator) -> None:
    """Power check."""
    wrong = loaded("compose.yaml")
    wrong["services"]["interleaf"]["stop_graceperiod"] = "30s"
    assert not schema.is_valid(wrong)


@pytest.mark.parametrize("name", FILES)
def test_services_are_hardened_and_their_images_exact(name: str) -> None:
    for title, service in loaded(name)["services"].items():
        if "image" not in service and "build" not in service:
            continue  # adds to a service of the other file
        assert service["read_only"] is True, title
        assert service["cap_drop"] == ["ALL"], title
        assert service["security_opt"] == ["no-new-privileges:true"], title
        assert "build" in service or EXACT.fullmatch(service["image"]), title
        assert not service.get("privileged")


def test_every_setting_that_is_given_exists() -> None:
    assert not known_setting("INTERLEAF_LISTEN__HOOST")
    for name in FILES:
        environment = loaded(name)["services"]["interleaf"]["environment"]
        unknown = [key for key in environment if key.startswith(ENV_PREFIX) and not known_setting(key)]
        assert unknown == []


def test_nothing_but_the_service_is_published_beyond_this_machine() -> None:
    for name in FILES:
        for title, service in loaded(name)["services"].items():
            for port in service.get("ports", ()):
                if title != "interleaf" or str(port).split(":")[-1] not in ("7421", "7422"):
                    assert str(port).startswith("127.0.0.1:"), (title, port)
    assert loaded("compose.postgres.yaml")["networks"]["database"] == {"internal": True}


def test_draining_ends_before_it_is_killed() -> None:
    given = loaded("compose.yaml")["services"]["interleaf"]["stop_grace_period"]
    assert int(given.removesuffix("s")) > Settings().listen.grace_seconds
