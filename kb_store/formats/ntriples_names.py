"""From IRIs to texts and back, and the vocabulary of our own N-Triples exports."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from kb_store.formats.fields import RowProblem, checked

RDFS_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
SKOS_ALT_LABEL = "http://www.w3.org/2004/02/skos/core#altLabel"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDF_SUBJECT, RDF_PREDICATE, RDF_OBJECT = RDF + "subject", RDF + "predicate", RDF + "object"
DCTERMS_SOURCE = "http://purl.org/dc/terms/source"

SUBJECT = "urn:interleaf:subject:"
RELATION = "urn:interleaf:relation:"
FACT = "urn:interleaf:fact:"
FACT_WITHOUT_ID = "urn:interleaf:fact-without-id:"
STATEMENTS = (FACT, FACT_WITHOUT_ID)
ALIAS = "urn:interleaf:alias"
VALID_FROM = "urn:interleaf:valid-from"
VALID_TO = "urn:interleaf:valid-to"

# Where a word begins inside a camelCase name: aB, and the last capital of ABc.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def make_iri(prefix: str, text: str) -> str:
    """An IRI of ours; `own_text` gives the text back unchanged."""
    return prefix + quote(text, safe="")


def own_text(iri: str) -> str | None:
    """The text behind an IRI that `make_iri` made, byte for byte; None for anybody else's IRI."""
    for prefix in (SUBJECT, RELATION, FACT):
        if iri.startswith(prefix):
            return _unquote(iri[len(prefix) :])
    return None


def node_name(iri: str) -> str:
    """http://dbpedia.org/resource/New_York_City -> New York City."""
    return _last_part(iri).replace("_", " ").strip()


def relation_name(iri: str) -> str:
    """http://dbpedia.org/ontology/birthPlace -> birth place; acronyms keep their capitals."""
    words = _CAMEL.sub(" ", _last_part(iri).replace("_", " ").replace("-", " ")).split()
    return " ".join(word if word.isupper() else word.lower() for word in words)


def _last_part(iri: str) -> str:
    """The fragment, else the last segment of the path, else the host."""
    try:
        parts = urlsplit(iri)
    except ValueError as error:
        raise RowProblem("UNNAMED_NODE", "the IRI cannot be taken apart") from error
    path = parts.path.rstrip("/:")
    segment = re.split("[/:]", path)[-1] if path else ""
    return checked("IRI", _unquote(parts.fragment or segment or parts.netloc))


def _unquote(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text
