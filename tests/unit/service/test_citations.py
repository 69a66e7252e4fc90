from __future__ import annotations

from datetime import UTC, datetime

import pytest
import torch

from engines.contract import InjectedFact, KVTokens
from kb_store.model import Content, Fact
from service.serving.citations import Grounding, ValueCheck, cite, cite_unchecked, grounding, stands_in
from service.serving.knowledge import Known

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def known(uid: str, value: str) -> Known:
    fact = Fact("n", uid, uid, Content("Anna", "employer", value), 2, 2, "e", NOW, NOW)
    empty = torch.zeros(1, 1, 1, 1)
    return Known(fact, 0.5, InjectedFact(KVTokens(f"{uid}@2", "enc", empty, empty)))


@pytest.mark.parametrize(
    ("value", "text", "stands"),
    [
        ("Nordlicht Werft", "She works for Nordlicht Werft.", True),
        ("Nordlicht Werft", "She works for Nordlicht\n  Werft", True),
        ("Werft", "Werften are shipyards", False),
        ("Werft", "the NordWerft", False),
        ("1", "in 12 days", False),
        ("1", "number 1, of course", True),
        ("nordlicht", "Nordlicht", False),
        ("Café", "the Cafe\u0301 Central", True),
        ("C++", "written in C++.", True),
        ("C", "written in C++.", True),
        ("(x)", "f(x)", True),
        ("北京", "他住在北京市。", True),
        ("राम", "रामायण वाल्मीकि ने लिखी।", False),
        ("रामायण", "उत्तर: रामायण।", True),
        ("5", "It is 2.5 metres.", False),
        ("5", "It is -5 degrees.", False),
        ("200", "It costs 1,200 euros.", False),
        ("17.2", "The version is 17.2.20.", False),
        ("5", "There are\n5.", True),
        ("", "anything", False),
        ("Anna", "", False),
    ],
)
def test_whole_words(value: str, text: str, stands: bool) -> None:
    assert stands_in(value, text) is stands


def test_every_fact_is_cited_the_most_attended_first() -> None:
    facts = [known("a", "Kiel"), known("b", "Bonn"), known("c", "Ulm"), known("d", "Kiel")]
    attention = {"a@2": (0.0, 0.4, 0.1), "b@2": (0.9,), "c@2": (0.01, 0.02)}
    cited = cite(facts, attention, "She lives in Kiel.", 0.05)
    assert [(item.fact.uid, item.value_check) for item in cited] == [
        ("b", ValueCheck.DIFFERS),
        ("a", ValueCheck.EXACT),
        ("c", ValueCheck.NOT_USED),
        ("d", ValueCheck.NOT_USED),  # its object stands in the text, but nobody looked at it
    ]
    assert [item.attention for item in cited] == [0.9, 0.4, 0.02, 0.0]
    assert grounding(cited) is Grounding.GROUNDED


def test_grounding() -> None:
    assert grounding(()) is Grounding.NO_FACTS
    ignored = cite([known("a", "Kiel")], {"a@2": (0.05,)}, "Kiel", 0.05)
    assert grounding(ignored) is Grounding.UNGROUNDED


def test_without_a_text_nothing_is_checked() -> None:
    cited = cite_unchecked([known("a", "Kiel"), known("b", "Bonn")], {"b@2": 0.3})
    assert [(item.fact.uid, item.attention, item.value_check) for item in cited] == [
        ("b", 0.3, ValueCheck.UNCHECKED),
        ("a", 0.0, ValueCheck.UNCHECKED),
    ]
