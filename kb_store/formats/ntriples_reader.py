"""N-Triples: each triple is a fact, named by labels where there are any.

How an IRI becomes a text, the first that applies:
1. its rdfs:label in the stream (no language tag before English before other languages);
2. our own IRIs (urn:interleaf:) give back the text that was exported;
3. its fragment or last path segment, percent-decoded, underscores as spaces; a predicate's camelCase is split.
rdfs:label and skos:altLabel triples are names, not facts: altLabels become aliases. Literals are taken as they
are, without language tag or datatype. A blank node without a label makes a failed row.

Labels may come before or after their use. Triples wait in a window of bounded size for labels that are still to
come, and labels are remembered in a table of bounded size; so a label is found when it is among the last
`NAME_TABLE_BYTES` of names, or at most `WINDOW_TRIPLES` triples (`WINDOW_BYTES` bytes) after its use. Rows come
out in the order of the triples in the file.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pyoxigraph as ox

from kb_store.formats import ntriples_names as names
from kb_store.formats.contract import Row
from kb_store.formats.fields import RowProblem, checked, decode, parse_time, too_long
from kb_store.formats.lines import Line, LineSplitter
from kb_store.formats.ntriples_memory import NameTable, Statement, StatementTable
from kb_store.model import Content, ImportRow, RowFailure

WINDOW_TRIPLES = 10_000
WINDOW_BYTES = 16 * 1024 * 1024
NAME_TABLE_BYTES = 32 * 1024 * 1024

Node = ox.NamedNode | ox.BlankNode | ox.Literal | ox.Triple


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A fact, or a failed row, that the window holds back."""

    line: int
    row: ox.Triple | RowFailure
    size: int


class NTriplesReader:
    """Rows of one N-Triples file."""

    def __init__(self, max_line_bytes: int) -> None:
        self._splitter = LineSplitter(max_line_bytes)
        self._max = max_line_bytes
        self._names = NameTable(NAME_TABLE_BYTES)
        self._statements = StatementTable()
        self._window: deque[_Waiting] = deque()
        self._window_bytes = 0

    def feed(self, data: bytes) -> list[Row]:
        """Rows that the window no longer holds back."""
        rows: list[Row] = []
        self._take(self._splitter.feed(data), rows)
        return rows

    def finish(self) -> list[Row]:
        """All that still waited for a label."""
        rows: list[Row] = []
        self._take(self._splitter.finish(), rows)
        while self._window:
            rows.append(self._release())
        return rows

    def _take(self, lines: list[Line], rows: list[Row]) -> None:
        for number, data in lines:
            try:
                if data is None:
                    raise too_long(self._max)
                for triple in _parse(data):
                    if not self._learn(triple, number):
                        self._wait(_Waiting(number, triple, len(data)))
            except RowProblem as problem:
                self._wait(_Waiting(number, problem.at(number), 0))
            self._narrow(rows)

    def _wait(self, waiting: _Waiting) -> None:
        self._window.append(waiting)
        self._window_bytes += waiting.size

    def _narrow(self, rows: list[Row]) -> None:
        """Gives out what has waited long enough, and forgets statements that nothing waits for."""
        while len(self._window) > WINDOW_TRIPLES:
            rows.append(self._release())
        while self._window_bytes + self._statements.size > WINDOW_BYTES:
            # A statement that began before the oldest waiting triple is not that triple's.
            if self._window and self._window[0].line <= self._statements.oldest_line():
                rows.append(self._release())
            else:
                self._statements.forget_oldest()

    def _release(self) -> Row:
        waiting = self._window.popleft()
        self._window_bytes -= waiting.size
        if isinstance(waiting.row, RowFailure):
            return waiting.row
        try:
            return self._row(waiting.line, waiting.row)
        except RowProblem as problem:
            return problem.at(waiting.line)

    def _learn(self, triple: ox.Triple, line: int) -> bool:
        """Notes a triple that names or describes; False when it is a fact."""
        predicate, value = triple.predicate.value, triple.object
        subject = triple.subject
        if isinstance(subject, ox.NamedNode) and subject.value.startswith(names.STATEMENTS):
            # The object of a reified triple is kept as written, to be compared with the triple itself.
            if isinstance(value, ox.Literal) and predicate != names.RDF_OBJECT:
                self._statements.add(line, subject.value, predicate, value.value)
            else:
                self._statements.add(line, subject.value, predicate, str(value))
            return True
        if predicate not in (names.RDFS_LABEL, names.SKOS_ALT_LABEL) or not isinstance(value, ox.Literal):
            return False
        if predicate == names.RDFS_LABEL:
            self._names.add_label(str(subject), value.value, _language_rank(value))
        else:
            self._names.add_alias(str(subject), value.value)
        return True

    def _row(self, line: int, triple: ox.Triple) -> ImportRow:
        subject = str(triple.subject)
        statement = self._statements.claim((subject, str(triple.predicate), str(triple.object)))
        if statement is None:
            about = self._names.get(subject)
            statement = Statement(line, aliases=about.aliases if about else [])
        content = Content(
            subject=self._name(triple.subject, "subject"),
            relation=self._name(triple.predicate, "predicate"),
            object=self._name(triple.object, "object"),
            aliases=tuple(checked("alias", alias) for alias in statement.aliases),
            source=checked("source", statement.parts.get(names.DCTERMS_SOURCE, "")),
            valid_from=parse_time("valid_from", statement.parts.get(names.VALID_FROM, "")),
            valid_to=parse_time("valid_to", statement.parts.get(names.VALID_TO, "")),
        )
        return ImportRow(line, content, checked("fact_id", statement.fact_id))

    def _name(self, node: Node, role: str) -> str:
        if isinstance(node, ox.Literal):
            return checked(role, node.value)
        about = self._names.get(str(node))
        if about is not None and about.label is not None:
            return checked(role, about.label)
        if not isinstance(node, ox.NamedNode):
            raise RowProblem("UNNAMED_NODE", f"the {role} is a blank node without a label")
        text = names.own_text(node.value)
        if text is None:
            text = names.relation_name(node.value) if role == "predicate" else names.node_name(node.value)
            if not text:
                raise RowProblem("UNNAMED_NODE", f"the {role}'s IRI holds no name and has no label")
        return checked(role, text)


def _parse(data: bytes) -> list[ox.Triple]:
    text = decode(data)
    try:
        return [quad.triple for quad in ox.parse(text, format=ox.RdfFormat.N_TRIPLES)]
    except SyntaxError as error:
        raise RowProblem("MALFORMED_ROW", str(error.msg)) from error


def _language_rank(label: ox.Literal) -> int:
    """0 without a language, 1 for English, 2 for others."""
    language = (label.language or "").lower()
    if not language:
        return 0
    return 1 if language.split("-")[0] == "en" else 2
