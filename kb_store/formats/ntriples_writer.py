"""Facts as N-Triples, such that our reader gives the very same facts back and other RDF tools can use them.

Each fact is one plain triple of urn:interleaf: IRIs and a literal. Its subject and relation carry an rdfs:label,
and a reified statement (urn:interleaf:fact:...) carries what a triple cannot: fact id, aliases, source, times.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyoxigraph as ox

from kb_store.formats import ntriples_names as names
from kb_store.formats.fields import format_time
from kb_store.model import Content

# Relations whose label was written already are remembered, up to this many.
_REMEMBERED_RELATIONS = 4096


class NTriplesWriter:
    """Writes a fact's lines together, the plain triple first."""

    def __init__(self) -> None:
        self._labelled: set[str] = set()
        self._last_subject: str | None = None
        self._unnamed = 0

    def begin(self) -> bytes:
        """An N-Triples file has no header."""
        return b""

    def add(self, content: Content, fact_id: str = "") -> bytes:
        """The fact's triple, labels that were not written yet, and its statement."""
        subject = ox.NamedNode(names.make_iri(names.SUBJECT, content.subject))
        relation = ox.NamedNode(names.make_iri(names.RELATION, content.relation))
        triples = [ox.Triple(subject, relation, ox.Literal(content.object))]
        if content.subject != self._last_subject:
            triples.append(_label(subject, content.subject))
            self._last_subject = content.subject
        if content.relation not in self._labelled:
            if len(self._labelled) >= _REMEMBERED_RELATIONS:
                self._labelled.clear()
            self._labelled.add(content.relation)
            triples.append(_label(relation, content.relation))
        triples.extend(self._statement(triples[0], content, fact_id))
        return ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES) or b""

    def _statement(self, triple: ox.Triple, content: Content, fact_id: str) -> Iterator[ox.Triple]:
        details = [(names.ALIAS, alias) for alias in content.aliases]
        details += [
            (names.DCTERMS_SOURCE, content.source),
            (names.VALID_FROM, format_time(content.valid_from)),
            (names.VALID_TO, format_time(content.valid_to)),
        ]
        if not fact_id and not any(text for _, text in details):
            return
        if fact_id:
            fact = ox.NamedNode(names.make_iri(names.FACT, fact_id))
        else:
            self._unnamed += 1
            fact = ox.NamedNode(f"{names.FACT_WITHOUT_ID}{self._unnamed}")
        yield ox.Triple(fact, ox.NamedNode(names.RDF_SUBJECT), triple.subject)
        yield ox.Triple(fact, ox.NamedNode(names.RDF_PREDICATE), triple.predicate)
        yield ox.Triple(fact, ox.NamedNode(names.RDF_OBJECT), triple.object)
        for predicate, text in details:
            if text:
                yield ox.Triple(fact, ox.NamedNode(predicate), ox.Literal(text))


def _label(node: ox.NamedNode, text: str) -> ox.Triple:
    return ox.Triple(node, ox.NamedNode(names.RDFS_LABEL), ox.Literal(text))
