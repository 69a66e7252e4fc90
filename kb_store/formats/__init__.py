"""Facts as files: streaming readers and writers for CSV, JSONL and N-Triples.

Nothing here knows of SQL, namespaces or the network: bytes come in, rows go out, and the reverse.
"""

from __future__ import annotations

from kb_store.formats.contract import (
    DEFAULT_MAX_LINE_BYTES,
    FactFileReader,
    FactFileWriter,
    FileFormat,
    Row,
)
from kb_store.formats.csv_file import CsvReader, CsvWriter
from kb_store.formats.jsonl_file import JsonlReader, JsonlWriter
from kb_store.formats.ntriples_reader import NTriplesReader
from kb_store.formats.ntriples_writer import NTriplesWriter

__all__ = [
    "DEFAULT_MAX_LINE_BYTES",
    "FactFileReader",
    "FactFileWriter",
    "FileFormat",
    "Row",
    "reader",
    "writer",
]


def reader(file_format: FileFormat, *, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> FactFileReader:
    """A reader at the start of a file of this format."""
    match file_format:
        case FileFormat.CSV:
            return CsvReader(max_line_bytes)
        case FileFormat.JSONL:
            return JsonlReader(max_line_bytes)
        case FileFormat.N_TRIPLES:
            return NTriplesReader(max_line_bytes)


def writer(file_format: FileFormat) -> FactFileWriter:
    """A writer of one file of this format."""
    match file_format:
        case FileFormat.CSV:
            return CsvWriter()
        case FileFormat.JSONL:
            return JsonlWriter()
        case FileFormat.N_TRIPLES:
            return NTriplesWriter()
