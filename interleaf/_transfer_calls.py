"""Imports and exports. The docstrings are those of the client's methods."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from interleaf import _decode
from interleaf._calls import Streamed, Upload
from interleaf._fact_calls import FACTS, POLICIES, choose
from interleaf._session import Session
from interleaf._types import FileFormat, ImportReport, OnConflict, Quarantine
from interleaf.v1 import facts_pb2

CHUNK = 64 * 1024
FORMATS = {
    "csv": facts_pb2.FACT_FORMAT_CSV,
    "jsonl": facts_pb2.FACT_FORMAT_JSONL,
    "ntriples": facts_pb2.FACT_FORMAT_N_TRIPLES,
}
SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".nt": "ntriples",
    ".ntriples": "ntriples",
}
QUARANTINES = {
    "server": facts_pb2.QUARANTINE_UNSPECIFIED,
    "flagged": facts_pb2.QUARANTINE_FLAGGED,
    "all": facts_pb2.QUARANTINE_ALL,
}
ProgressCallback = Callable[[ImportReport], None]


def format_of(path: str | Path, given: FileFormat | None = None) -> FileFormat:
    """The format that is given, or else the one that the file's suffix says."""
    if given is not None:
        return given
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{Path(path).name}: the suffix does not say the format; "
            f"use one of {', '.join(SUFFIXES)}, or say it (format=, --format): {', '.join(FORMATS)}"
        )
    return SUFFIXES[suffix]


def file_chunks(path: str | Path) -> Iterator[bytes]:
    """The bytes of a file, a piece at a time."""
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def import_file(
    session: Session,
    path: str | Path,
    *,
    format: FileFormat | None = None,
    on_conflict: OnConflict = "fail",
    source: str = "",
    import_id: str | None = None,
    validate_only: bool = False,
    quarantine: Quarantine = "server",
    progress: ProgressCallback | None = None,
) -> Upload:
    """Imports a CSV, JSONL or N-Triples file of any size. Rows that are refused do not hinder the others.

        report = client.import_file("crew.csv", on_conflict="replace", progress=print)
        print(report.rows_written, "written,", report.rows_failed, "refused")

    A broken connection is taken up again. To go on with an import whose program died, give its `import_id`
    (every progress report has it): rows that were committed are passed over.

    `quarantine`: `"flagged"` rows, or `"all"`, wait for approval (`interleaf review`), if the server does not ask for
    more. `report.rows_held` counts them.
    """
    chosen = format_of(path, format)
    file = Path(path)
    if file.exists() and not (file.is_file() or file.is_dir()):  # to open one may take for ever
        raise ValueError(f"{path}: a pipe can be read only once; keep its bytes and use import_data")
    file.open("rb").close()  # a missing file is the caller's error, and is raised here
    return import_data(
        session,
        lambda: file_chunks(path),
        format=chosen,
        on_conflict=on_conflict,
        source=source,
        import_id=import_id,
        validate_only=validate_only,
        quarantine=quarantine,
        progress=progress,
    )


def import_data(
    session: Session,
    open_data: Callable[[], Iterable[bytes]],
    *,
    format: FileFormat,
    on_conflict: OnConflict = "fail",
    source: str = "",
    import_id: str | None = None,
    validate_only: bool = False,
    quarantine: Quarantine = "server",
    progress: ProgressCallback | None = None,
) -> Upload:
    """The same as `import_file` for data from elsewhere: `open_data` gives its bytes from the start.

    It is called again when the connection broke, and must then give the same bytes.
    """
    if not callable(open_data):
        raise ValueError("import_data: give a function that opens the data, such as lambda: [data]")
    chosen_id = import_id or str(uuid.uuid4())
    header = facts_pb2.ImportHeader(
        parent=session.parent,
        format=choose("format", FORMATS, format),
        on_conflict=choose("on_conflict", POLICIES, on_conflict),
        import_id=chosen_id,
        source=source,
        validate_only=validate_only,
        quarantine=choose("quarantine", QUARANTINES, quarantine),
    )

    def requests() -> Iterator[Any]:
        yield facts_pb2.ImportFactsRequest(header=header)
        for chunk in open_data():
            for start in range(0, len(chunk), CHUNK):
                yield facts_pb2.ImportFactsRequest(data=chunk[start : start + CHUNK])

    def fold(report: ImportReport, message: Any) -> ImportReport:
        report = _decode.import_report(report, message)
        if report.namespace_revision and not validate_only:
            session.wrote(session.parent, report.namespace_revision)
        return report

    return Upload(
        FACTS + "ImportFacts",
        requests,
        facts_pb2.ImportFactsResponse,
        ImportReport(import_id=chosen_id),
        fold,
        progress,
    )


def export(session: Session, *, format: FileFormat = "jsonl", filter: str = "") -> Streamed[bytes]:
    """Goes over the bytes of an export of the live facts. `export_file` writes them to a file.

    data = b"".join(client.export(format="csv"))
    """
    request = facts_pb2.ExportFactsRequest(
        parent=session.parent, format=choose("format", FORMATS, format), filter=filter
    )

    def decode(message: Any) -> bytes:
        data: bytes = message.data
        return data

    return Streamed(FACTS + "ExportFacts", request, facts_pb2.ExportFactsResponse, decode, kind="transfer")
