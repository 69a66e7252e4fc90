"""Key statistics: the right moment, streamed, and read from disk only when the file is whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from editors.weights import statistics
from editors.weights.corpus import Corpus, builtin_corpus, file_corpus
from editors.weights.errors import InvalidEdit
from editors.weights.model import EditableModel
from editors.weights.statistics import KeyStatistics
from tests.unit.weights.test_deltas import random_delta

Make = Callable[..., EditableModel]
TEXTS = ("Tom lives in Oslo.", "Anna does not, she lives in a much longer place.", "No.") * 5


def corpus(name: str = "texts") -> Corpus:
    return Corpus(name, name, lambda: iter(TEXTS))


def keys_of(editable: EditableModel, layer: int, tokens: int) -> torch.Tensor:
    """What the map reads, text by text, without padding."""
    seen: list[torch.Tensor] = []
    module: nn.Module = editable.spec.mlp_down(layer)
    handle = module.register_forward_pre_hook(lambda module, args: seen.append(args[0][0]))
    for text in TEXTS:
        ids = editable.tokenizer(text, return_tensors="pt").input_ids
        editable.model(input_ids=ids)
    handle.remove()
    return torch.cat(seen)[:tokens].double()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text"])
def test_moments_are_means_over_the_first_tokens(tiny: Make, kind: str) -> None:
    editable = tiny(kind)
    found = KeyStatistics(corpus(), tokens=100).moments(editable, [2, 0])
    assert list(found) == [2, 0]
    for layer, moment in found.items():
        keys = keys_of(editable, layer, 100)
        assert torch.allclose(moment, keys.T @ keys / 100, atol=1e-4)


def test_statistics_are_those_of_the_unedited_model(tiny: Make) -> None:
    editable = tiny()
    wanted = KeyStatistics(corpus()).moments(editable, [3])[3]
    editable.apply(random_delta(editable, 0, (1,)))
    found = KeyStatistics(corpus()).moments(editable, [3])[3]
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_two_may_estimate_the_same_at_once(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have written their file before either has put it where it belongs."""
    both, save = threading.Barrier(2, timeout=60), statistics.save_file

    def slowly(*given: Any) -> None:
        save(*given)
        both.wait()

    monkeypatch.setattr(statistics, "save_file", slowly)
    made = [KeyStatistics(corpus(), tokens=20, folder=tmp_path) for _ in range(2)]
    editables = [tiny(), tiny()]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one, editable: one.moments(editable, [1])[1], made, editables))
    assert torch.equal(*found)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_no_more_is_read_than_is_needed(tiny: Make) -> None:
    read: list[str] = []

    def texts() -> Iterator[str]:
        for text in TEXTS:
            read.append(text)
            yield text

    shares: list[float] = []
    KeyStatistics(
        Corpus("t", "t", texts), tokens=20, progress=lambda what, share: shares.append(share)
    ).moments(tiny(), [0])
    assert len(read) == 2
    assert shares == [1.0]


def test_a_second_run_reads_the_file(tiny: Make, tmp_path: Path) -> None:
    editable = tiny()
    first = KeyStatistics(corpus(), folder=tmp_path).moments(editable, [0, 1])

    def unreadable() -> Iterator[str]:
        raise AssertionError("the corpus was read again")

    second = KeyStatistics(Corpus("texts", "texts", unreadable), folder=tmp_path).moments(editable, [0, 1])
    assert all(torch.equal(first[layer], second[layer]) for layer in (0, 1))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("trouble", ["no place", "no space"])
def test_without_a_file_the_moments_are_the_same(
    tiny: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: str,
) -> None:
    """A folder that cannot be made, also by root; and what safetensors says of a full disk."""

    def full(*given: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    kept = KeyStatistics(corpus(), tokens=20, folder=tmp_path / "kept").moments(tiny(), [1])[1]
    taken = tmp_path / "taken"
    if trouble == "no place":
        taken.write_text("a file")
    else:
        monkeypatch.setattr(statistics, "save_file", full)
    found = KeyStatistics(corpus(), tokens=20, folder=taken).moments(tiny(), [1])[1]
    assert torch.equal(found, kept)
    (warning,) = caplog.messages
    assert warning.startswith("key statistics are not kept:")
    assert trouble == "no place" or not list(taken.iterdir())


def test_another_corpus_model_or_size_is_another_file(tiny: Make, tmp_path: Path) -> None:
    KeyStatistics(corpus(), folder=tmp_path).moments(tiny(), [0])
    KeyStatistics(corpus("other"), folder=tmp_path).moments(tiny(), [0])
    KeyStatistics(corpus(), folder=tmp_path).moments(tiny(seed=1), [0])
    KeyStatistics(corpus(), tokens=10, folder=tmp_path).moments(tiny(), [0])
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_made_again(tiny: Make, tmp_path: Path, damage: str) -> None:
    editable = tiny()
    wanted = KeyStatistics(corpus(), folder=tmp_path).moments(editable, [0])[0]
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-10] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1]))
    again = KeyStatistics(corpus(), folder=tmp_path).moments(editable, [0])[0]
    assert torch.equal(again, wanted)
    assert torch.equal(load_file(path)["moment"].double(), wanted)


def test_an_empty_corpus_is_refused(tiny: Make) -> None:
    with pytest.raises(InvalidEdit, match="holds no text"):
        KeyStatistics(Corpus("none", "none", lambda: iter(()))).moments(tiny(), [0])


def test_a_users_file_is_a_corpus_of_its_longer_lines(tmp_path: Path) -> None:
    line = "This is a line of more than a few words, long enough."
    path = tmp_path / "mine.txt"
    path.write_text(f"Heading\n\n{line}\n12\n{line[::-1]}\n", encoding="utf-8")
    first = file_corpus(path)
    assert list(first.texts()) == list(first.texts()) == [line, line[::-1]]
    path.write_text(f"{line}\n", encoding="utf-8")
    assert file_corpus(path).digest != first.digest


def test_the_builtin_corpus_is_the_same_in_every_run() -> None:
    plain, more = builtin_corpus(), builtin_corpus(["Oslo is in Norway."])
    texts = list(plain.texts())
    assert texts == list(builtin_corpus().texts())
    assert plain.digest == builtin_corpus().digest != more.digest
    assert sum(len(text.split()) for text in texts) > 20_000
    assert not any("{" in text for text in texts)
    assert any("Oslo is in Norway." in text for text in more.texts())
