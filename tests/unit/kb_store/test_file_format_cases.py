"""What the file formats promise, case by case. tests/property holds what must be true of every file."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pyoxigraph as ox
import pytest

from kb_store.errors import InvalidInput
from kb_store.formats import FileFormat, Row, ntriples_reader, reader, writer
from kb_store.model import Content, ImportRow, RowFailure

FULL = Content(
    'Anna "K" Keller, Dr',
    "works for",
    "Nor\r\nwind",
    ("A|B", "C\\D", "E\\|F"),
    "register",
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(2021, 6, 30, 12, 30, 15, 250000, tzinfo=UTC),
)


def read(file_format: FileFormat, data: str | bytes, **options: int) -> list[Row]:
    parser = reader(file_format, **options)
    return parser.feed(data.encode() if isinstance(data, str) else data) + parser.finish()


def triples(rows: list[Row]) -> list[tuple[str, str, str] | RowFailure]:
    return [
        row
        if isinstance(row, RowFailure)
        else (row.content.subject, row.content.relation, row.content.object)
        for row in rows
    ]


def failures(rows: list[Row]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in rows if isinstance(row, RowFailure)]


# --- CSV -------------------------------------------------------------------------------------------------


def test_csv_takes_columns_in_any_order_and_a_spreadsheets_line_ends() -> None:
    rows = read(
        FileFormat.CSV,
        "\ufeffObject,subject, Relation\r\nOslo,Norway,capital\r\n\r\nBern,Switzerland,capital",
    )
    assert rows == [
        ImportRow(2, Content("Norway", "capital", "Oslo")),
        ImportRow(4, Content("Switzerland", "capital", "Bern")),
    ]


def test_csv_reads_quotes_over_lines_and_counts_the_lines() -> None:
    rows = read(FileFormat.CSV, 'subject,relation,object\n"a\r\n""b""",r,"x,y"\nc,r,z\n')
    assert rows == [ImportRow(2, Content('a\r\n"b"', "r", "x,y")), ImportRow(4, Content("c", "r", "z"))]


def test_csv_reads_all_columns() -> None:
    header = "subject,relation,object,aliases,source,fact_id,valid_from,valid_to\n"
    rows = read(
        FileFormat.CSV, header + "s,r,o,a||b\\|c|AC\\DC,web,f-1,2020-05-01,2021-01-01T00:00:00+02:00\n"
    )
    assert rows == [
        ImportRow(
            2,
            Content(
                "s",
                "r",
                "o",
                ("a", "b|c", "AC\\DC"),
                "web",
                datetime(2020, 5, 1, tzinfo=UTC),
                datetime(2020, 12, 31, 22, tzinfo=UTC),
            ),
            "f-1",
        )
    ]


def test_csv_names_what_is_wrong_with_a_row_and_goes_on() -> None:
    lines = [
        b"subject,relation,object,valid_to",
        b"a,b,c",
        b"a,b,c,,e",
        b'a,b,"c"d,',
        b"a,\xff,c,",
        b"a,b\0,c,",
        b"a,b,c,soon",
        b"a,b," + b"c" * 200 + b",",
        b"good,b,c,",
    ]
    rows = read(FileFormat.CSV, b"\n".join(lines), max_line_bytes=100)
    assert failures(rows) == [
        (2, "MISSING_COLUMN"),
        (3, "EXTRA_COLUMN"),
        (4, "MALFORMED_ROW"),
        (5, "INVALID_UTF8"),
        (6, "INVALID_CHARACTER"),
        (7, "INVALID_TIME"),
        (8, "LINE_TOO_LONG"),
    ]
    assert rows[-1] == ImportRow(9, Content("good", "b", "c"))


def test_csv_with_a_quote_that_is_never_closed_loses_a_bounded_part() -> None:
    data = 'subject,relation,object\n"a,b,c\n' + "d,e,f\n" * 50
    rows = read(FileFormat.CSV, data, max_line_bytes=60)
    assert failures(rows) == [(2, "LINE_TOO_LONG")]
    assert 35 < len(rows) < 50
    assert failures(read(FileFormat.CSV, data)) == [(2, "MALFORMED_ROW")]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"subject,relation\n", "lacks the column object"),
        (b"subject,relation,object,alias\n", "unknown column 'alias'"),
        (b"subject,relation,object,object\n", "twice"),
        (b"\xff\xfes\x00u\x00b\x00", "header is unreadable"),
        (b"x" * 5000, "header is unreadable"),
    ],
)
def test_csv_without_a_usable_header_is_refused_as_a_whole(header: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read(FileFormat.CSV, header, max_line_bytes=4096)


def test_csv_export_is_what_other_programs_read() -> None:
    output = writer(FileFormat.CSV)
    text = (output.begin() + output.add(FULL, "f-1") + output.add(Content("s", "r", "o"))).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["subject"] for row in rows] == [FULL.subject, "s"]
    assert rows[0]["object"] == FULL.object
    assert rows[0]["fact_id"] == "f-1"


# --- JSONL -----------------------------------------------------------------------------------------------


def test_jsonl_reads_all_keys() -> None:
    line = {"subject": "s", "relation": "r", "object": "o", "aliases": ["a"], "source": None, "fact_id": "f"}
    rows = read(
        FileFormat.JSONL, json.dumps(line) + "\r\n \n" + json.dumps(line | {"valid_from": "2020-05-01"})
    )
    content = Content("s", "r", "o", ("a",))
    dated = Content("s", "r", "o", ("a",), valid_from=datetime(2020, 5, 1, tzinfo=UTC))
    assert rows == [ImportRow(1, content, "f"), ImportRow(3, dated, "f")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"subject": "s"', "MALFORMED_ROW"),
        ('{"subject": "a", "subject": "b", "relation": "r", "object": "o"}', "MALFORMED_ROW"),
        ("[" * 100_000, "MALFORMED_ROW"),
        ("9" * 5000, "MALFORMED_ROW"),
        ('["s", "r", "o"]', "WRONG_TYPE"),
        ('{"subject": 1, "relation": "r", "object": "o"}', "WRONG_TYPE"),
        ('{"subject": "s", "relation": "r", "object": "o", "aliases": "a"}', "WRONG_TYPE"),
        ('{"subject": "s", "relation": "r", "object": NaN}', "WRONG_TYPE"),
        ('{"subject": "s", "relation": "r"}', "MISSING_FIELD"),
        ('{"subject": "s", "relation": "r", "object": null}', "MISSING_FIELD"),
        ('{"subject": "s", "relation": "r", "object": "o", "colour": "red"}', "UNKNOWN_FIELD"),
        ('{"subject": "\\ud800", "relation": "r", "object": "o"}', "INVALID_CHARACTER"),
        ('{"subject": "s\\u0000", "relation": "r", "object": "o"}', "INVALID_CHARACTER"),
        (
            '{"subject": "s", "relation": "r", "object": "o", "valid_to": "0001-01-01T00:00+14:00"}',
            "INVALID_TIME",
        ),
    ],
)
def test_jsonl_names_what_is_wrong_with_a_row_and_goes_on(line: str, reason: str) -> None:
    rows = read(FileFormat.JSONL, line + '\n{"subject": "s", "relation": "r", "object": "o"}')
    assert failures(rows[:1]) == [(1, reason)]
    assert rows[1] == ImportRow(2, Content("s", "r", "o"))


# --- N-Triples -------------------------------------------------------------------------------------------

LABEL = "<http://www.w3.org/2000/01/rdf-schema#label>"


def test_ntriples_names_come_from_iris_when_nothing_labels_them() -> None:
    data = """<http://dbpedia.org/resource/New_York_City> <http://dbpedia.org/ontology/isPartOf> <http://x.org/US> .
<http://x.org/a#Anna%20Keller> <http://x.org/hasURL> "5"^^<http://www.w3.org/2001/XMLSchema#int> .
<urn:isbn:123> <http://x.org/in-language/> "Deutsch"@de . # note
<http://x.org/Caf%FF> <http://x.org/P19> <http://example.org> .
"""
    assert triples(read(FileFormat.N_TRIPLES, data)) == [
        ("New York City", "is part of", "US"),
        ("Anna Keller", "has URL", "5"),
        ("123", "in language", "Deutsch"),
        ("Caf%FF", "P19", "example.org"),
    ]


def test_ntriples_labels_are_used_before_and_after_they_come() -> None:
    data = f"""<http://e.org/Q2> {LABEL} "Erde"@de .
<http://e.org/Q1> <http://e.org/P1> <http://e.org/Q2> .
<http://e.org/Q1> {LABEL} "Universe" .
<http://e.org/Q1> {LABEL} "Universum" .
<http://e.org/Q1> {LABEL} "Cosmos"@en .
<http://e.org/P1> {LABEL} "contains"@en-GB .
_:b <http://e.org/P1> "x" .
_:b {LABEL} "a nameless thing" .
<http://e.org/Q1> <http://www.w3.org/2004/02/skos/core#altLabel> "All" .
"""
    rows = read(FileFormat.N_TRIPLES, data)
    assert rows == [
        ImportRow(2, Content("Universe", "contains", "Erde", ("All",))),
        ImportRow(7, Content("a nameless thing", "contains", "x")),
    ]


def test_ntriples_names_what_is_wrong_with_a_line_and_goes_on() -> None:
    data = b"""<a> <urn:p> "x" .
<urn:a> <urn:p> "x" . <urn:a> <urn:p> "y" .
_:b <urn:p> "x" .
<urn:a:%00> <urn:p> "x" .
<urn:a> <urn:p> "\\u0000" .
<urn:a> <urn:p> "\xff" .
<urn:a> <urn:p> <http://[> .
<urn:a> <urn:p> "x" .
"""
    rows = read(FileFormat.N_TRIPLES, data)
    assert [line for line, _ in failures(rows)] == [1, 2, 3, 4, 5, 6, 7]
    assert rows[-1] == ImportRow(8, Content("a", "p", "x"))


def test_ntriples_wait_for_labels_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntriples_reader, "WINDOW_TRIPLES", 3)
    data = "".join(f'<urn:s:{n}> <urn:p> "x" .\n' for n in range(5))
    data += f'<urn:s:1> {LABEL} "too late" .\n<urn:s:2> {LABEL} "in time" .\n'
    parser = reader(FileFormat.N_TRIPLES)
    early = parser.feed(data.encode())
    assert triples(early) == [("0", "p", "x"), ("1", "p", "x")]
    assert triples(parser.finish()) == [("in time", "p", "x"), ("3", "p", "x"), ("4", "p", "x")]


def test_ntriples_forget_the_oldest_names_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntriples_reader, "NAME_TABLE_BYTES", 5000)
    data = "".join(f'<urn:s:{n}> {LABEL} "name {n}" .\n' for n in range(100))
    data += "".join(f'<urn:s:{n}> <urn:p> "x" .\n' for n in (0, 99))
    assert triples(read(FileFormat.N_TRIPLES, data)) == [("0", "p", "x"), ("name 99", "p", "x")]


def test_ntriples_exports_larger_than_the_window_keep_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntriples_reader, "WINDOW_BYTES", 20_000)
    monkeypatch.setattr(ntriples_reader, "NAME_TABLE_BYTES", 2000)
    output = writer(FileFormat.N_TRIPLES)
    facts = [
        (f"f-{n}", Content(f"subject_{n % 7} é", "rel", "o", ("alias " * 50,), "s" * 300)) for n in range(200)
    ]
    data = b"".join(output.add(content, fact_id) for fact_id, content in facts)
    assert [
        (row.fact_id, row.content) for row in read(FileFormat.N_TRIPLES, data) if isinstance(row, ImportRow)
    ] == facts


def test_ntriples_statements_without_their_triple_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntriples_reader, "WINDOW_BYTES", 5000)
    junk = "".join(f'<urn:interleaf:fact:{n}> <urn:p> "x" .\n' for n in range(500))
    output = writer(FileFormat.N_TRIPLES)
    rows = read(FileFormat.N_TRIPLES, junk.encode() + output.add(FULL, "f-1"))
    assert [(row.fact_id, row.content) for row in rows if isinstance(row, ImportRow)] == [("f-1", FULL)]


def test_ntriples_export_means_the_same_to_other_tools() -> None:
    output = writer(FileFormat.N_TRIPLES)
    store = ox.Store()
    store.load(
        output.add(FULL, "f-1") + output.add(Content("s", "r", "o"), "f-2"), format=ox.RdfFormat.N_TRIPLES
    )
    query = """SELECT ?subject ?relation ?object WHERE {
        ?s ?p ?object . ?s rdfs:label ?subject . ?p rdfs:label ?relation }"""
    prefixes = {"rdfs": "http://www.w3.org/2000/01/rdf-schema#"}
    answers = store.query(query, prefixes=prefixes)
    assert isinstance(answers, ox.QuerySolutions)
    found = {tuple(answer[name].value for name in ("subject", "relation", "object")) for answer in answers}
    assert found == {(FULL.subject, FULL.relation, FULL.object), ("s", "r", "o")}


# --- all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_everything_a_fact_says_comes_back(file_format: FileFormat) -> None:
    output = writer(file_format)
    rows = read(file_format, output.begin() + output.add(FULL, "f-1"))
    assert [(row.fact_id, row.content) for row in rows if isinstance(row, ImportRow)] == [("f-1", FULL)]


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_an_empty_file_holds_no_facts(file_format: FileFormat) -> None:
    assert read(file_format, writer(file_format).begin()) == []
    assert read(file_format, b"") == []


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_a_line_without_end_is_not_kept(file_format: FileFormat) -> None:
    parser = reader(file_format, max_line_bytes=1000)
    parser.feed(writer(file_format).begin())
    for _ in range(100):
        assert parser.feed(b"x" * 1000) == []
    assert [reason for _, reason in failures(parser.finish())] == ["LINE_TOO_LONG"]
