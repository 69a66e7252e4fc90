"""Imports and exports as streams: progress, refused rows, resuming, round trips."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from interleaf.v1 import facts_pb2 as pb
from tests.serving import PARENT, Running, refusal, running, taken_apart

CSV, JSONL, NT = pb.FACT_FORMAT_CSV, pb.FACT_FORMAT_JSONL, pb.FACT_FORMAT_N_TRIPLES


def header(parent: str = PARENT, **more: Any) -> Any:
    return pb.ImportFactsRequest(header=pb.ImportHeader(**{"parent": parent, "format": CSV, **more}))


def data(*pieces: bytes) -> list[Any]:
    return [pb.ImportFactsRequest(data=piece) for piece in pieces]


def send(server: Running, *requests: Any) -> list[Any]:
    return list(server.facts.ImportFacts(iter(requests)))


def rows(numbers: Iterable[int], *, head: bool = True) -> bytes:
    lines = [f"Person {number},employer,Firm {number}\n" for number in numbers]
    return (("subject,relation,object\n" if head else "") + "".join(lines)).encode()


def exported(server: Running, parent: str, file_format: int, **more: Any) -> bytes:
    request = pb.ExportFactsRequest(parent=parent, format=file_format, **more)
    return b"".join(message.data for message in server.facts.ExportFacts(request))


def counts(report: Any) -> tuple[int, int, int, int]:
    return report.rows_read, report.rows_written, report.rows_unchanged, report.rows_failed


def test_import_reports_progress_and_the_end(server: Running, parent: str) -> None:
    whole = rows(range(25))
    reports = send(server, header(parent, source="list"), *data(whole[:7], whole[7:300], whole[300:]))
    assert reports[0].import_id
    assert {report.import_id for report in reports} == {reports[0].import_id}
    assert [report.done for report in reports] == [False] * (len(reports) - 1) + [True]
    assert len(reports) == 4  # the start, two chunks of ten, the end
    assert counts(reports[-1]) == (25, 25, 0, 0)
    assert reports[-1].namespace_revision == 25
    page = server.facts.ListFacts(pb.ListFactsRequest(parent=parent, page_size=1))
    assert (page.facts[0].subject, page.facts[0].source) == ("Person 0", "list")


def test_rows_that_are_refused_do_not_hinder_the_others(server: Running, parent: str) -> None:
    server.add("Person 1", "employer", "Elsewhere", parent=parent)
    file = rows([0, 1, 2]) + b"only,two\n" + b"a,b," + b"x" * 600 + b"\n" + rows([0, 3], head=False)
    last = send(server, header(parent), *data(file))[-1]
    assert counts(last) == (7, 3, 1, 3)
    assert {failure.line: failure.reason for failure in last.failures} == {
        3: "CONFLICTING_FACT",
        5: "MISSING_COLUMN",
        6: "LIMIT_EXCEEDED",
    }


def test_failures_are_told_up_to_a_hundred(server: Running, parent: str) -> None:
    file = b"subject,relation,object\n" + b"bad\n" * 150
    reports = send(server, header(parent), *data(file))
    assert sum(len(report.failures) for report in reports) == 100
    assert counts(reports[-1]) == (150, 0, 0, 150)


def test_conflicts_are_replaced_where_asked(server: Running, parent: str) -> None:
    made = server.add("Person 1", "employer", "Elsewhere", parent=parent)
    last = send(server, header(parent, on_conflict=pb.CONFLICT_POLICY_REPLACE), *data(rows([1, 2])))[-1]
    assert counts(last) == (2, 2, 0, 0)
    assert server.facts.GetFact(pb.GetFactRequest(name=made.name)).object == "Firm 1"


def test_an_import_that_broke_off_goes_on_where_it_was(server: Running, parent: str) -> None:
    file = rows([*range(12)]) + b"broken\n" + rows(range(12, 30), head=False)
    committed = threading.Event()

    def interrupted() -> Iterator[Any]:
        yield header(parent, import_id="night-1")
        yield from data(file[:600])
        committed.wait(30)

    call = server.facts.ImportFacts(interrupted())
    next(call)
    first = next(call)
    assert counts(first)[1] == 10
    call.cancel()
    committed.set()

    last = None
    while last is None:
        try:
            last = send(server, header(parent, import_id="night-1"), *data(file))[-1]
        except grpc.RpcError as error:
            if taken_apart(error).reason != "IMPORT_RUNNING":  # the server has not noticed yet
                raise
            time.sleep(0.05)
    read, written, unchanged, failed = counts(last)
    assert (read, written + unchanged, failed) == (31, 30, 1)
    assert unchanged >= 10
    assert exported(server, parent, CSV).count(b"\n") == 31
    again = send(server, header(parent, import_id="night-1"), *data(file))[-1]
    assert counts(again) == (31, 0, 30, 1)


def test_resuming_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, store={"import_rows": 10}) as server:
        send(server, header(import_id="i"), *data(rows(range(10))))
    with running(tmp_path, store={"import_rows": 10}) as server:
        last = send(server, header(import_id="i"), *data(rows(range(15))))[-1]
        assert counts(last) == (15, 5, 10, 0)


def test_refused_rows_are_counted_when_passed_over(server: Running, parent: str) -> None:
    server.add("Person 1", "employer", "Elsewhere", parent=parent)
    first = send(server, header(parent, import_id="i"), *data(rows(range(3))))[-1]
    assert counts(first) == (3, 2, 0, 1)
    again = send(server, header(parent, import_id="i"), *data(rows(range(3))))[-1]
    assert counts(again) == (3, 0, 2, 1)


def test_validate_only_writes_nothing(server: Running, parent: str) -> None:
    server.add("Person 1", "employer", "Elsewhere", parent=parent)
    last = send(server, header(parent, validate_only=True), *data(rows(range(25))))[-1]
    assert counts(last) == (25, 24, 0, 1)
    assert exported(server, parent, CSV).count(b"\n") == 2


@pytest.mark.parametrize("file_format", [CSV, JSONL, NT])
def test_a_round_trip_keeps_everything(server: Running, parent: str, file_format: int) -> None:
    facts = [
        ('Zoë "Zo" Keller', "place of birth", "Kiel, Altstadt", ["Z. Keller", "Zoe"], "register"),
        ("北京", "人口", "2154万", [], ""),
        ("O'Brien; Ltd", "motto", "a | b \\ c", [], "x"),
    ]
    for number, (subject, relation, obj, aliases, source) in enumerate(facts):
        server.add(
            subject,
            relation,
            obj,
            parent=parent,
            fact_id=f"f{number}",
            fact={"aliases": aliases, "source": source},
        )
    file = exported(server, parent, file_format)
    other = server.space(f"{parent.split('/')[1][:50]}-copy")
    last = send(server, header(other, format=file_format), *data(file))[-1]
    assert counts(last)[1:] == (3, 0, 0)
    assert exported(server, other, file_format) == file
    copy = server.facts.GetFact(pb.GetFactRequest(name=f"{other}/facts/f0"))
    assert (copy.subject, list(copy.aliases), copy.source) == (facts[0][0], facts[0][3], "register")


def test_exports_filter_and_leave_out_what_is_deleted(server: Running, parent: str) -> None:
    send(server, header(parent), *data(rows(range(5))))
    page = server.facts.ListFacts(pb.ListFactsRequest(parent=parent))
    server.facts.DeleteFact(pb.DeleteFactRequest(name=page.facts[0].name))
    assert exported(server, parent, CSV).count(b"\n") == 5
    assert b"Firm 3" in exported(server, parent, CSV, filter='subject = "Person 3"')
    assert exported(server, parent, CSV, filter='subject = "Person 3"').count(b"\n") == 2


def test_large_exports_come_in_pieces(server: Running, parent: str) -> None:
    send(server, header(parent), *data(rows(range(3000))))
    pieces = list(server.facts.ExportFacts(pb.ExportFactsRequest(parent=parent, format=JSONL)))
    assert len(pieces) > 1
    assert b"".join(piece.data for piece in pieces).count(b"\n") == 3000


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "header"),
        (data(b"x"), "header"),
        ([pb.ImportFactsRequest()], "header"),
        ([header(), header()], "data"),
        ([header(), pb.ImportFactsRequest()], "data"),
        ([header("nonsense")], "header.parent"),
        ([header(format=0)], "header.format"),
        ([header(format=9)], "header.format"),
        ([header(on_conflict=9)], "header.on_conflict"),
        ([header(source="x" * 600)], "header.source"),
        ([header(import_id="x" * 200)], "import_id"),
        ([header(), *data(b"no,usable,header\n1,2,3\n")], "data"),
    ],
)
def test_streams_that_are_wrong_are_refused_by_field(
    server: Running, requests: list[Any], field: str
) -> None:
    refused = refusal(lambda: server.facts.ImportFacts(iter(requests)))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))


def test_an_import_runs_only_once_at_a_time(server: Running, parent: str) -> None:
    ended = threading.Event()

    def slow() -> Iterator[Any]:
        yield header(parent, import_id="same")
        ended.wait(30)

    call = server.facts.ImportFacts(slow())
    next(call)
    refused = refusal(lambda: server.facts.ImportFacts(iter([header(parent, import_id="same")])))
    assert (refused.code, refused.reason) == ("UNAVAILABLE", "IMPORT_RUNNING")
    assert refused.retry_seconds
    ended.set()
    assert list(call)[-1].done
