"""A server whose reader of questions is not prepared says so at its start, not at the first question."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models import DEFAULT_MODEL, default_model_path
from service.config import ConfigError, EngineSettings
from service.serving.model import load

pytestmark = pytest.mark.model


def test_the_start_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = default_model_path()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / DEFAULT_MODEL).symlink_to(model)
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"engine: all-mpnet-base-v2 is not prepared: run `interleaf prepare`"
    ):
        load(EngineSettings(), tmp_path / "data", "")
