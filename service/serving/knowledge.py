"""From a question to the facts that the model will see: retrieve, weigh, compile.

What is injected was read from SQL in the question's namespace within this call, at the revision that is cited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from editors.kv.contract import Evidence, FactEncoder
from editors.kv.prior import MIN_SUBJECT_COVER
from engines.contract import InjectedFact
from kb_store.contract import Embedder, Store
from kb_store.errors import WrongState
from kb_store.model import Fact, Namespace, SearchResult
from kb_store.retrieval import Retriever
from kb_store.scoring import Cover, Question
from kb_store.together import asked_together
from service.errors import NoEncoder
from service.revisions import Revisions
from service.serving.compiled import CompiledFacts
from service.serving.evidence import EvidenceReader
from service.serving.examples import asking
from service.serving.weighing import Weighing, weighed_facts
from service.workers import Workers


@dataclass(frozen=True, slots=True)
class RetrievalSpec:
    """Which facts a call may use: the best `top_k`, or none, or those that are named."""

    top_k: int
    disabled: bool = False
    fact_ids: tuple[str, ...] = ()
    min_revision: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A fact that goes into attention, and how well the retriever found it to fit (1 when it was named)."""

    fact: Fact
    score: float
    injected: InjectedFact


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a call works with, and what it took."""

    known: tuple[Known, ...]
    namespace_revision: int
    retrieval_seconds: float = 0.0
    compile_seconds: float = 0.0

    @property
    def injected(self) -> tuple[InjectedFact, ...]:
        """For the engine."""
        return tuple(item.injected for item in self.known)

    @property
    def tokens(self) -> int:
        """Key/value tokens of all facts."""
        return sum(item.injected.tokens.count for item in self.known)


@dataclass(frozen=True, slots=True)
class _Weighed:
    fact: Fact
    score: float
    bias: float
    order: int = 0  # as engines.contract.InjectedFact has it


class KnowledgeSource:
    """Gathers knowledge. `compiled` is None where there is no encoder."""

    def __init__(
        self,
        store: Store,
        retriever: Retriever,
        embedder: Embedder,
        revisions: Revisions,
        compiled: CompiledFacts | None,
        workers: Workers,
    ) -> None:
        self._store, self._retriever, self._evidence = store, retriever, EvidenceReader(embedder)
        self._revisions, self._compiled, self._workers = revisions, compiled, workers
        if compiled is not None:
            self._evidence.prepare(compiled.encoder.meaning)

    async def oldest(self, namespace: str, count: int) -> tuple[Fact, ...]:
        """The namespace's facts in the order in which they were made, at most so many."""
        page = await self._workers.reads.run(lambda: self._store.list_facts(namespace, limit=count))
        return page.facts

    def read_ahead(self, space: Namespace, relations: Sequence[str], go_on: Callable[[], bool]) -> None:
        """Reads names of a namespace's relations before a question needs them. Blocks; see EvidenceReader."""
        if self._compiled is not None:
            meaning = self._compiled.encoder.meaning
            self._evidence.read_ahead(relations, meaning, asking(space.relation_examples), go_on)

    async def gather(self, namespace: str, queries: Sequence[str], spec: RetrievalSpec) -> Knowledge:
        """The facts for the first of the queries that names a subject (later ones look further back in a chat)."""
        if spec.disabled:
            found = await self._workers.reads.run(self._store.get_namespace, namespace)
            return Knowledge((), found.revision)
        compiled = self._compiled
        if compiled is None:
            raise NoEncoder
        began = time.perf_counter()
        if spec.fact_ids:
            await self._revisions.written(namespace, spec.min_revision)
            weighed, revision = await self._workers.waiting.run(
                self._named, compiled, namespace, queries, spec
            )
        else:
            await self._revisions.searchable(namespace, spec.min_revision)
            weighed, revision = await self._retrieved(compiled, namespace, queries, spec)
        retrieved = time.perf_counter()
        facts = [item.fact for item in weighed]
        tokens = await self._workers.waiting.run(compiled.tokens, facts) if facts else []
        known = tuple(
            Known(item.fact, item.score, InjectedFact(made, item.bias, item.order))
            for item, made in zip(weighed, tokens, strict=True)
        )
        return Knowledge(known, revision, retrieved - began, time.perf_counter() - retrieved)

    async def weigh(self, namespace: str, queries: Sequence[str], spec: RetrievalSpec) -> Weighing:
        """What `gather` would find for these queries, and why it would show it or not."""
        if self._compiled is None:
            raise NoEncoder
        encoder = self._compiled.encoder
        await self._revisions.searchable(namespace, spec.min_revision)
        weighing = Weighing((), encoder.fit_needed, 0)
        for query in queries:
            result = await self._workers.retrieval.run(
                self._retriever.search, namespace, query, top_k=spec.top_k
            )
            weighing, named = await self._workers.waiting.run(self._weighing, encoder, query, result)
            if named:
                break
        return weighing

    async def _retrieved(
        self, compiled: CompiledFacts, namespace: str, queries: Sequence[str], spec: RetrievalSpec
    ) -> tuple[list[_Weighed], int]:
        """Weighing waits for models, where texts of many callers are read together: it must not hold a thread of the
        few that search."""
        revision = 0
        for query in queries:
            result = await self._workers.retrieval.run(
                self._retriever.search, namespace, query, top_k=spec.top_k
            )
            revision = result.namespace_revision
            weighed, named = await self._workers.waiting.run(self._weighed, compiled.encoder, query, result)
            # A text that names a subject is not helped by what was said before, also when it asks for nothing stored.
            if named:
                return weighed, revision
        return [], revision

    def _weighed(self, encoder: FactEncoder, query: str, result: SearchResult) -> tuple[list[_Weighed], bool]:
        """The hits that are shown; and whether the query names the subject of any."""
        question = Question(query)
        evidence = self._of_hits(encoder, question, result)
        found = [(hit.fact, hit.score) for hit in result.hits]
        weighed = _shown(question, found, encoder.biases(evidence))
        return weighed, any(item.subject_cover >= MIN_SUBJECT_COVER for item in evidence)

    def _weighing(self, encoder: FactEncoder, query: str, result: SearchResult) -> tuple[Weighing, bool]:
        """The same as `_weighed`, told of every hit."""
        question = Question(query)
        evidence = self._of_hits(encoder, question, result)
        found = [(hit.fact, hit.score) for hit in result.hits]
        shown = {item.fact.uid for item in _shown(question, found, encoder.biases(evidence))}
        facts = weighed_facts(found, evidence, shown, encoder.fit_needed)
        weighing = Weighing(facts, encoder.fit_needed, result.namespace_revision)
        return weighing, any(item.subject_cover >= MIN_SUBJECT_COVER for item in evidence)

    def _named(
        self, compiled: CompiledFacts, namespace: str, queries: Sequence[str], spec: RetrievalSpec
    ) -> tuple[list[_Weighed], int]:
        """The caller vouches that the facts' subjects are meant; the rest of the evidence is measured."""
        space = self._store.get_namespace(namespace)
        facts = self._store.get_facts(namespace, spec.fact_ids)
        now = datetime.now(UTC)
        for fact in facts:
            if not fact.holds_at(now):
                name = f"namespaces/{fact.namespace}/facts/{fact.fact_id}"
                problem = "is deleted" if fact.deleted else "does not hold at this time"
                raise WrongState(f"fact {name!r} {problem}: it cannot be injected", kind="fact", name=name)
        contents = [fact.content for fact in facts]
        found = [(fact, 1.0) for fact in facts]
        evidence = self._evidence.read(
            queries[:1],
            contents,
            compiled.encoder.meaning,
            named=True,
            asking=asking(space.relation_examples),
        )[0]
        biases = compiled.encoder.biases(evidence, wanted=True)
        return _shown(Question(queries[0]), found, biases), space.revision

    def _of_hits(self, encoder: FactEncoder, question: Question, result: SearchResult) -> list[Evidence]:
        """What retrieval measured, and how well each relation fits what the query says of its subject."""
        hits, asked = result.hits, asking(result.relation_examples)
        covers = [Cover(hit.subject_cover, hit.relation_score) for hit in hits]
        contents = [hit.fact.content for hit in hits]
        (meanings,) = self._evidence.meanings(
            [question], contents, [covers], encoder.meaning, asked, result.relations
        )
        return [
            Evidence(hit.subject_cover, hit.relation_score, hit.dense_score, meaning)
            for hit, meaning in zip(hits, meanings, strict=True)
        ]


def _shown(
    question: Question, found: Sequence[tuple[Fact, float]], biases: Sequence[float | None]
) -> list[_Weighed]:
    """The facts that have a bias. Those that the question asks for together are seen alike, when one of them is seen at
    all, and said in the order in which it names them."""
    together = asked_together(question, [fact.content for fact, _ in found])
    best = max((bias for at in together if (bias := biases[at]) is not None), default=None)
    order = {at: number for number, at in enumerate(together, 1)}
    weighed = []
    for at, ((fact, score), own) in enumerate(zip(found, biases, strict=True)):
        bias = best if at in order else own
        if bias is not None:
            weighed.append(_Weighed(fact, score, bias, order.get(at, 0)))
    return weighed
