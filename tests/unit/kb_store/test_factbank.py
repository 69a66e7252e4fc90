"""The built-in facts: enough of them, unambiguous, clean, true where checked, and spoken of naturally."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from importlib.resources import files
from pathlib import Path

import pytest

from kb_store import factbank
from kb_store.factbank import load_facts, load_facts_with_relation, parse_pairs, read_pairs, relations
from kb_store.model import Content, Limits
from kb_store.text import fold_name

DATA = files("kb_store.factbank")

# Checked against what is generally known, among them the known faults of the sources.
KNOWN = [
    ("Norway", "capital", "Oslo"),
    ("Sri Lanka", "capital", "Sri Jayawardenepura Kotte"),
    ("Burundi", "capital", "Gitega"),
    ("Kazakhstan", "capital", "Astana"),
    ("Eswatini", "capital", "Mbabane"),
    ("Brazil", "capital", "Brasília"),
    ("Curaçao", "capital", "Willemstad"),
    ("Japan", "continent", "Asia"),
    ("Kenya", "currency", "Kenyan Shilling"),
    ("Bulgaria", "currency", "Euro"),
    ("France", "calling code", "+33"),
    ("Germany", "internet domain", ".de"),
    ("Brazil", "official language", "Portuguese"),
    ("Bangladesh", "official language", "Bengali"),
    ("Netherlands", "demonym", "Dutch"),
    ("Paris", "country", "France"),
    ("Vienna", "country", "Austria"),
    ("Osaka", "country", "Japan"),
    ("Iron", "chemical symbol", "Fe"),
    ("Gold", "atomic number", "79"),
    ("Oganesson", "group", "18"),
    ("Radium", "year of discovery", "1898"),
    ("Betelgeuse", "constellation", "Orion"),
    ("Texas", "state capital", "Austin"),
    ("Hawaii", "year of statehood", "1959"),
    ("area code 212", "state", "New York"),
    ("Los Angeles International Airport", "IATA code", "LAX"),
    ("Isaac Newton", "year of birth", "1642"),
    ("Isaac Newton", "nationality", "English"),
    ("Jane Austen", "occupation", "writer"),
    ("Camry", "manufacturer", "Toyota"),
    ("hot", "opposite", "cold"),
    ("Greek language", "writing system", "Greek"),
    ("Boston Celtics", "home state", "Massachusetts"),
]
# Wrong, outdated, contested, or the parts of a larger city.
ABSENT = {
    ("Sri Lanka", "Colombo"),
    ("Burundi", "Bujumbura"),
    ("Kazakhstan", "Nur-Sultan"),
    ("Bulgaria", "Bulgarian Lev"),
    ("Niger", "French"),
    ("Neodymium", "1925"),
    ("Bujumbura", "national capital"),
    ("Colombo", "national capital"),
}
ABSENT_SUBJECTS = {
    "Swaziland",
    "Bao'an Centre",
    "Little Havana",
    "Titiwangsa",
    "Netherlands Antilles",
    "iron",
    "3-Sep",
}


@pytest.fixture(scope="module")
def bank() -> list[Content]:
    return list(load_facts())


def test_there_are_enough_facts_and_relations(bank: list[Content]) -> None:
    assert len(bank) >= 20_000
    assert len(relations()) >= 28
    assert all(info.count >= 30 for info in relations())


def test_the_table_is_the_one_that_the_manifest_describes(bank: list[Content]) -> None:
    packed = DATA.joinpath("facts.tsv.gz").read_bytes()
    manifest = json.loads(DATA.joinpath("manifest.json").read_text())
    assert hashlib.sha256(packed).hexdigest() == manifest["sha256"] == factbank.digest()
    assert len(packed) < 3_000_000
    assert packed[4:8] == bytes(4), "the archive carries a time, so the same facts would give other bytes"
    assert manifest["facts"] == len(bank)
    counts = Counter(info.relation_id for info, _ in load_facts_with_relation())
    assert counts == manifest["relations"] == {info.relation_id: info.count for info in relations()}
    lines = gzip.decompress(packed).decode().splitlines()[1:]
    assert lines == sorted(lines, key=lambda line: [part.split("|") for part in line.split("\t")[:4]])


def test_a_subject_has_one_object_in_a_relation(bank: list[Content]) -> None:
    objects = defaultdict(set)
    for content in bank:
        objects[content.relation, fold_name(content.subject)].add(content.object)
    assert [key for key, values in objects.items() if len(values) > 1] == []
    assert len(objects) == len(bank)


def test_an_alias_names_one_subject(bank: list[Content]) -> None:
    subjects = {fold_name(content.subject) for content in bank}
    bearers = defaultdict(set)
    for content in bank:
        for alias in content.aliases:
            bearers[fold_name(alias)].add(fold_name(content.subject))
    assert {alias: names for alias, names in bearers.items() if len(names) > 1} == {}
    assert [alias for alias, (name,) in bearers.items() if alias in subjects and alias != name] == []


def test_texts_are_clean_and_within_the_limits(bank: list[Content]) -> None:
    limits = Limits()
    for content in bank:
        for text in (content.subject, content.relation, content.object, content.source, *content.aliases):
            assert text
            assert text == " ".join(text.split())
            assert not any(unicodedata.category(c)[0] in "C" or c in "’‘“”" for c in text), text
        assert len(content.subject) <= limits.max_subject_length
        assert len(content.object) <= limits.max_object_length
        assert len(content.aliases) <= limits.max_aliases
        assert content.subject != content.object


@pytest.mark.parametrize(("subject", "relation", "value"), KNOWN)
def test_known_facts_are_there(bank: list[Content], subject: str, relation: str, value: str) -> None:
    found = [content.object for content in bank if (content.subject, content.relation) == (subject, relation)]
    assert found == [value]


def test_known_faults_of_the_sources_are_not_there(bank: list[Content]) -> None:
    assert {(content.subject, content.object) for content in bank} & ABSENT == set()
    assert {content.subject for content in bank} & ABSENT_SUBJECTS == set()


def test_inverse_relations_lead_back(bank: list[Content]) -> None:
    by_id = {info.relation_id: info for info in relations()}
    for info in relations():
        if info.inverse:
            assert by_id[info.inverse].inverse == info.relation_id
    capitals = {content.subject: content.object for content in load_facts(["country_capital"])}
    countries = {content.subject: content.object for content in load_facts(["capital_country"])}
    assert len(countries) > 200
    assert {city: capitals[country] for city, country in countries.items()} == {
        city: city for city in countries
    }


@pytest.mark.parametrize("info", relations(), ids=lambda info: info.relation_id)
def test_templates_are_well_formed(info: factbank.RelationInfo) -> None:
    assert len(info.templates) >= 8
    assert len(set(info.templates)) == len(info.templates)
    for template in info.templates:
        assert template.count("{s}") == 1
        assert template.replace("{s}", "").count("{") == 0
        # The object follows after one space.
        assert template == " ".join(template.split())
        assert template[-1].isalpha() or template[-1] in ",:"
        assert not template.endswith("{s}")
    questions = [template for template in info.templates if template.startswith("Question: ")]
    assert len(questions) >= 2
    assert all("? Answer:" in question for question in questions)
    # Half of the ways to ask do not name the relation.
    naming = [template for template in info.templates if f" {info.name} " in template]
    assert len(naming) <= len(info.templates) / 2
    assert info.statement.count("{s}") == info.statement.count("{o}") == 1
    assert info.single_valued
    assert info.name == info.name.strip()


def test_relations_are_chosen_by_id_or_name_in_the_same_order() -> None:
    by_name = list(load_facts(["state"]))
    by_id = list(load_facts(["us_city_state", "county_state", "area_code_state"]))
    assert by_name == by_id
    assert list(load_facts(["state"], limit=5)) == by_name[:5]
    with pytest.raises(ValueError, match="no relation 'colour'"):
        load_facts(["capital", "colour"])


def test_pairs_of_an_evaluation_can_be_left_out(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("norway\tOSLO\n\nFrance\tMadrid\n", encoding="utf-8")
    capitals = list(load_facts(["country_capital"]))
    left = list(load_facts(["country_capital"], exclude_pairs=read_pairs(pairs)))
    assert [content.subject for content in capitals if content not in left] == ["Norway"]
    for text, line in (("Norway, Oslo\n", 1), ("a\tb\r\nno tab here", 2), ("a\tb\n\na\tb\tc\n", 3)):
        pairs.write_bytes(text.encode())
        with pytest.raises(ValueError, match=f"pairs.tsv, line {line}: a pair is a subject"):
            read_pairs(pairs)
        with pytest.raises(ValueError, match=f"^line {line}: a pair is a subject"):
            parse_pairs(text)
    assert parse_pairs("a\tb\r\n\r\nc\td") == {("a", "b"), ("c", "d")}
    pairs.write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match=r"pairs\.tsv"):
        read_pairs(pairs)


def test_the_command_writes_facts_as_a_file(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("Alabama\tMontgomery\n", encoding="utf-8")
    command = [sys.executable, "-m", "kb_store.factbank", "--relations", "state_capital"]
    command += ["--limit", "2", "--format", "jsonl", "--exclude-pairs", str(pairs)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["Alaska", "Arizona"]


def test_loading_needs_the_standard_library_only() -> None:
    code = """import sys; from kb_store.factbank import load_facts; next(load_facts())
names = {name.partition('.')[0] for name in sys.modules}
print(sorted(names - set(sys.stdlib_module_names) - {'kb_store', '__main__', '__mp_main__'}))"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = [name for name in done.stdout.strip("[]\n").replace("'", "").split(", ") if name]
    # An editable install leaves its own finder among the modules.
    assert [name for name in loaded if "__editable__" not in name and not name.startswith("_")] == []


def test_every_source_is_credited() -> None:
    notice = DATA.joinpath("NOTICE").read_text(encoding="utf-8")
    for info in relations():
        assert info.relation_id in notice
    for words in ("Creative Commons Attribution 4.0", "Unicode License V3", "Princeton University"):
        assert words in notice
