"""Locks agree with what is pinned and with pyproject; audits do not call silence clean; licences are welcome ones."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.supply.audit import Audit, read, verdict
from scripts.supply.licences import licences, unwelcome
from scripts.supply.locks import FOLDER, LOCKS, ROOT, Lock, asked, pins, problems

EXTRAS = ("server", "tracing")


def text_of(lock: Lock) -> str:
    return (FOLDER / f"{lock.name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_agree_with_what_is_pinned(lock: Lock) -> None:
    assert problems(lock, text_of(lock)) == [], "run: make locks"


def test_a_lock_that_does_not_fit_is_noticed() -> None:
    """Power check: another version, a missing hash, a package too many, one that pyproject does not allow."""
    default, *_, gpu = LOCKS
    text = text_of(default)
    moved = text.replace("\nclick==", "\nclick==0")
    assert any(problem.startswith("click: pinned") for problem in problems(default, moved))
    assert "six has no hash" in problems(default, text + "six==1.17.0\n")
    assert "six is locked and not pinned" in problems(default, text + "six==1.17.0\n")
    assert any(
        "transformers" in problem
        for problem in problems(gpu, text_of(gpu).replace("transformers==5", "transformers==4"))
    )


def test_what_pyproject_asks_for_is_pinned() -> None:
    pinned = {
        **pins((ROOT / "requirements" / "server.txt").read_text()),
        **pins((ROOT / "requirements" / "dev.txt").read_text()),
    }
    for wanted in asked(EXTRAS):
        version = pinned.get(canonicalize_name(wanted.name))
        assert version is not None, wanted
        assert wanted.specifier.contains(version, prereleases=True), (str(wanted), version)


def test_the_default_pins_are_complete() -> None:
    """Everything that a pinned package asks for is pinned too, so that `--no-deps` leaves nothing out."""
    pinned = pins((ROOT / "requirements" / "server.txt").read_text())
    missing = set()
    for name in pinned:
        try:
            needs = distribution(name).requires or ()
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed: run make setup")
        for text in needs:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                version = pinned.get(canonicalize_name(wanted.name))
                if version is None or not wanted.specifier.contains(version, prereleases=True):
                    missing.add(f"{name} wants {wanted}, pinned is {version}")
    assert missing == set()


def test_silence_is_not_called_clean() -> None:
    """pip-audit ends well, and says that nothing is known, where it could look nothing up."""
    skipped = {"name": "torch", "skip_reason": "could not be audited"}
    weak = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "X-1", "fix_versions": ["3.1"]}]}
    fine = {"name": "rich", "version": "1", "vulns": []}
    silent, found = read("a", {"dependencies": [skipped]}), read("b", {"dependencies": [weak, skipped]})
    assert (silent.audited, silent.skipped, silent.why) == (0, 1, "could not be audited")
    assert found.weaknesses == ("jinja2 2.0: X-1, mended in 3.1",)
    assert verdict([silent]) == "not audited"
    assert verdict([Audit("c", 0, 0, (), "no answer")]) == "not audited"
    assert verdict([silent, found]) == "weak"
    assert verdict([silent, read("d", {"dependencies": [fine]})]) == "partly audited"
    assert verdict([read("d", {"dependencies": [fine]})]) == "clean"


def test_licences_are_known_and_welcome() -> None:
    found = licences()
    assert unwelcome(found) == []
    assert unwelcome({"x": ("1", "AGPL-3.0-only"), "y": ("1", "")}) == ["x: AGPL-3.0-only", "y: says nothing"]
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    absent = [name for name, (version, _) in found.items() if f"| {name} | {version} |" not in page]
    assert absent == [], "run: make licences"
