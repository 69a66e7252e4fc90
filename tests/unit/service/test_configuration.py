"""The configuration: sources and their order, refusals, and documents that are equal to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kb_store.model import Limits
from service.calls import KINDS
from service.config import AdmissionSettings, ConfigError, DeadlineSettings, Settings, effective, load
from service.config_docs import render
from service.limits import LimitSettings
from tests.unit.service.descriptors import METHODS

ROOT = Path(__file__).resolve().parents[3]


def test_documents_are_equal_to_the_settings() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == render(), "run: python -m service.config_docs > docs/configuration.md"


def sections() -> list[type[BaseModel]]:
    found = [info.annotation for info in Settings.model_fields.values()]
    return [section for section in found if isinstance(section, type) and issubclass(section, BaseModel)]


def test_every_key_is_described_and_frozen() -> None:
    assert len(sections()) == len(Settings.model_fields)
    for section in sections():
        assert section.model_config["frozen"]
        for name, info in section.model_fields.items():
            assert info.description, f"{section.__name__}.{name}"
            assert not info.is_required(), f"{section.__name__}.{name}"
    with pytest.raises(ValueError, match="frozen"):
        load().listen.port = 1


def test_the_stores_limits_are_all_there_with_the_same_defaults() -> None:
    assert LimitSettings().for_store() == Limits()
    for field in dataclasses.fields(Limits):
        assert field.name in LimitSettings.model_fields


def test_every_method_has_a_kind_and_every_kind_its_limits() -> None:
    assert set(KINDS) == set(METHODS)
    for kind in set(KINDS.values()):
        assert kind in AdmissionSettings.model_fields
        assert kind in DeadlineSettings.model_fields


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "interleaf.toml"
    file.write_text("[listen]\nport = 1\nhost = '127.0.0.2'\n[limits]\nmax_aliases = 3\n")
    assert load(file).listen.port == 1
    monkeypatch.setenv("INTERLEAF_LISTEN__PORT", "2")
    assert load(file).listen.port == 2
    settings = load(file, {"listen": {"port": 3}})
    assert (settings.listen.port, settings.listen.host, settings.limits.max_aliases) == (3, "127.0.0.2", 3)
    assert load().limits.max_aliases == 16


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[listen]\nport = 'x'", "listen.port"),
        ("[listen]\nport = 70000", "listen.port"),
        ("[listen]\nprot = 1", "listen.prot"),
        ("listen = 1", "listen"),
        ("[retrieval]\ntop_k = 65", "max_top_k"),
        ("[listen", "interleaf.toml"),
    ],
)
def test_a_wrong_file_is_refused_by_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "interleaf.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert named in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "interleaf.toml"
    file.write_bytes("[listen]".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"interleaf\.toml"):
        load(file)


def test_a_wrong_environment_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        load(tmp_path / "missing.toml")
    monkeypatch.setenv("INTERLEAF_LIMITS__TYPO", "1")
    with pytest.raises(ConfigError, match=r"limits\.typo"):
        load()
    monkeypatch.delenv("INTERLEAF_LIMITS__TYPO")
    monkeypatch.setenv("INTERLEAF_SECURTY__API_KEYS_FILE", "keys.txt")  # or the server would be open
    with pytest.raises(ConfigError, match="INTERLEAF_SECURTY__API_KEYS_FILE: there is no such section"):
        load()
    monkeypatch.delenv("INTERLEAF_SECURTY__API_KEYS_FILE")
    monkeypatch.setenv("INTERLEAF_HTTP__NAMES", "proxy.example")
    with pytest.raises(ConfigError, match="INTERLEAF_HTTP__NAMES: lists and tables are JSON"):
        load()
    monkeypatch.setenv("INTERLEAF_HTTP__NAMES", '["proxy.example"]')
    assert load().http.names == ("proxy.example",)
    monkeypatch.setenv("INTERLEAF_HTTP", "proxy.example")
    with pytest.raises(ConfigError, match="INTERLEAF_HTTP, INTERLEAF_HTTP__NAMES: lists and tables are JSON"):
        load()


def test_variables_of_the_client_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: dict[str, Any] = {
        "INTERLEAF_SERVER": "127.0.0.1:1",
        "INTERLEAF_NAMESPACE": "x",
        "INTERLEAF_API_KEY": "x",
        "INTERLEAF_TLS": "1",
        "INTERLEAF_CA": "x",
        "INTERLEAF_CERTIFICATE": "x",
        "INTERLEAF_CERTIFICATE_KEY": "x",
        "INTERLEAF_TIMEOUT": "1",
        "INTERLEAF_CACHE": "x",
        "INTERLEAF_CONFIG": "x",
    }
    for name, value in clients.items():
        monkeypatch.setenv(name, value)
    assert load() == load()


def test_secrets_are_not_shown() -> None:
    settings = load(None, {"store": {"database_url": "postgresql://user:hunter2@host/db"}})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(effective(settings))
    assert settings.database == "postgresql://user:hunter2@host/db"
    assert load().database == Path("interleaf-data/facts.db")
