"""What every file format must do."""

from __future__ import annotations

import enum
from typing import Protocol

from kb_store.model import Content, ImportRow, RowFailure

# A row of the longest texts that a store takes by default, written in the most wasteful way, fits well.
DEFAULT_MAX_LINE_BYTES = 256 * 1024

Row = ImportRow | RowFailure


class FileFormat(enum.Enum):
    """The value is the customary file name extension."""

    CSV = "csv"
    JSONL = "jsonl"
    N_TRIPLES = "nt"


class FactFileReader(Protocol):
    """Reads one file from chunks of bytes.

    Must give the same rows in the same order however the bytes are cut into chunks, so that an import can be
    resumed by counting rows. Must turn whatever is wrong with a row into a RowFailure with its line, and keep
    memory bounded whatever comes in. Only a file that cannot be of this format at all (a CSV without a usable
    header) is refused as a whole, with kb_store.errors.InvalidInput.
    """

    def feed(self, data: bytes) -> list[Row]:
        """Must return the rows that are now complete; none may be returned twice."""
        ...

    def finish(self) -> list[Row]:
        """Must return what was still waiting; the reader is then done."""
        ...


class FactFileWriter(Protocol):
    """Writes one file; a reader of the same format must give back the very same contents and fact ids."""

    def begin(self) -> bytes:
        """Must return what stands before the first fact (a header), perhaps nothing."""
        ...

    def add(self, content: Content, fact_id: str = "") -> bytes:
        """Must return the bytes of one fact."""
        ...
