"""Documents say what is there: links lead somewhere, every setting is described."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.config_docs import render

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_VARIABLE = re.compile(r"\bINTERLEAF_[A-Z]+(?:_[A-Z]+)*\b")


def links(text: str) -> Iterator[str]:
    for match in _LINK.finditer(_CODE.sub("", _FENCE.sub("", text))):
        yield match[1] or match[2]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    found: set[str] = set()
    for match in _HEADING.finditer(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = sum(1 for other in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", other))
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def broken_links(document: Path) -> list[str]:
    broken = []
    for link in links(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        inside = ROOT in target.parents or target == ROOT
        if (
            not inside
            or not target.exists()
            or (
                fragment
                and target.suffix == ".md"
                and fragment not in anchors(target.read_text(encoding="utf-8"))
            )
        ):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_a_broken_link_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md#one-two 'x')\n"
        "`[e](code.md)` [f](https://example.org/x) [g](../outside.md)\n```\n[h](fenced.md)\n```\n",
        encoding="utf-8",
    )
    assert broken_links(page) == ["#three", "gone.md", "../outside.md"]


def test_every_configuration_key_is_described() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m service.config_docs > docs/configuration.md"


def test_every_environment_variable_is_described() -> None:
    read: set[str] = set()
    for package in ("interleaf", "service", "kb_store", "engines", "editors", "circuits"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "INTERLEAF_" in text:
                texts = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
                read |= {value for value in texts if isinstance(value, str) and _VARIABLE.fullmatch(value)}
    described = {name for path in DOCUMENTS for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert "INTERLEAF_SERVER" in read
    assert read - described == set()
