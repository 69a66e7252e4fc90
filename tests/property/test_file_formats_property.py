"""Every format gives the same rows however it is cut, gives back what was written, and survives any bytes."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb_store.errors import InvalidInput
from kb_store.formats import FileFormat, Row, reader, writer
from kb_store.model import Content, ImportRow

FORMATS = list(FileFormat)
MAX_LINE = 4096

# All of Unicode but what no store keeps: surrogates and NUL.
texts = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
    | st.sampled_from('",|\\\n\r\t \ufeff\u2028_%<>:#')
)
names = texts.filter(bool)
times = st.none() | st.datetimes(
    timezones=st.just(UTC), min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)
)
contents = st.builds(
    Content,
    subject=names,
    relation=names,
    object=names,
    aliases=st.lists(names, max_size=3).map(tuple),
    source=texts,
    valid_from=times,
    valid_to=times,
)
fact_ids = st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)
files = st.lists(st.tuples(fact_ids, contents), max_size=8, unique_by=lambda pair: pair[0])

CORPUS = {
    FileFormat.CSV: [
        b'subject,relation,object,aliases\nZo\xc3\xab,is,"a ""b"", c",x|y\n',
        b'subject,relation,object\r\na,b,"two\r\nlines"\r\nd,e,f\r\n"open',
        b"\xef\xbb\xbfobject,subject,relation\n1,2,3\n1,2\n1,2,3,4\n\n\xff,2,3\n",
    ],
    FileFormat.JSONL: [
        b'{"subject":"Zo\xc3\xab","relation":"r","object":"\\u00e9","aliases":["x"]}\n{"subject":1}\n[]\n',
        b'\xef\xbb\xbf{"subject":"a","relation":"b","object":"c"}\r\n\r\n{"subject":"\\ud800"}\n{"a":NaN}',
    ],
    FileFormat.N_TRIPLES: [
        b'<http://e.org/A_b> <http://e.org/birthPlace> <http://e.org/X> .\n<urn:b> _:x "q"@en .\n',
        b'<http://e.org/A> <http://www.w3.org/2000/01/rdf-schema#label> "Alf"@de .\n'
        b'<http://e.org/A> <http://e.org/p> "v\xc3\xab" . # c\r\n_:b <urn:p> "x" .\nnonsense\n',
        b'<urn:interleaf:fact:1> <http://www.w3.org/1999/02/22-rdf-syntax-ns#subject> "s" .\n'
        b"<urn:interleaf:subject:%ff> <urn:interleaf:relation:%00> <http://[> .\n",
    ],
}


def read(file_format: FileFormat, chunks: list[bytes]) -> list[Row] | str:
    """All rows, or what the whole file was refused with."""
    parser = reader(file_format, max_line_bytes=MAX_LINE)
    try:
        return [row for chunk in chunks for row in parser.feed(chunk)] + parser.finish()
    except InvalidInput as error:
        return error.message


def cut(data: bytes, seed: random.Random) -> list[bytes]:
    marks = sorted(seed.randrange(len(data) + 1) for _ in range(seed.randrange(12)))
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]


@pytest.mark.parametrize("file_format", FORMATS)
@given(facts=files, seed=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(
    file_format: FileFormat, facts: list[tuple[str, Content]], seed: random.Random
) -> None:
    output = writer(file_format)
    data = output.begin() + b"".join(output.add(content, fact_id) for fact_id, content in facts)
    rows = read(file_format, cut(data, seed))
    assert [row if isinstance(row, str) else (row.fact_id, row.content) for row in rows] == facts


@pytest.mark.parametrize("file_format", FORMATS)
@given(content=contents)
@settings(max_examples=60, deadline=None)
def test_a_fact_without_id_is_read_back(file_format: FileFormat, content: Content) -> None:
    output = writer(file_format)
    rows = read(file_format, [output.begin(), output.add(content)])
    assert isinstance(rows[0], ImportRow)
    assert (rows[0].fact_id, rows[0].content) == ("", content)


@pytest.mark.parametrize("file_format", FORMATS)
@given(data=st.binary(max_size=400), seed=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_cutting_changes_nothing(file_format: FileFormat, data: bytes, seed: random.Random) -> None:
    bytewise = [bytes([byte]) for byte in data]
    assert read(file_format, [data]) == read(file_format, cut(data, seed)) == read(file_format, bytewise)


@pytest.mark.parametrize("file_format", FORMATS)
@given(seed=st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_damaged_files_give_rows_and_failures_only(file_format: FileFormat, seed: random.Random) -> None:
    data = bytearray(seed.choice(CORPUS[file_format]) * seed.randrange(1, 4))
    for _ in range(seed.randrange(8)):
        place = seed.randrange(len(data))
        match seed.randrange(3):
            case 0:
                data[place] = (
                    seed.choice(b'\x00\xff"\n\r,<>{}\\|\xc3') if seed.random() < 0.7 else seed.randrange(256)
                )
            case 1:
                del data[place : place + seed.randrange(1, 9)]
                data += b" "
            case 2:
                data[place:place] = seed.choice([b'"', b"\n", b"\0", b"\xf0\x9f", b"[" * 3000, b"9" * 5000])
    whole = read(file_format, [bytes(data)])
    assert whole == read(file_format, cut(bytes(data), seed))
    if not isinstance(whole, str):
        assert all("\0" not in row.content.subject for row in whole if isinstance(row, ImportRow))
        lines = [row.line for row in whole]
        assert lines == sorted(lines)
        assert all(1 <= line <= data.count(b"\n") + 1 for line in lines)
