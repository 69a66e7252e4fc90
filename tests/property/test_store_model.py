"""Random operations on the store and on a tiny model, with restarts and repeated requests; both must agree."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kb_store.errors import StoreError
from kb_store.model import (
    ConflictPolicy,
    Content,
    Context,
    CreateFact,
    DeleteFact,
    FactMutation,
    ImportRow,
    RollbackFact,
    UndeleteFact,
    UpdateFact,
    WriteResult,
)
from kb_store.sql import SqlStore, open_store
from tests.property.store_model import MULTI_VALUED, PARTS, Model, Refused, said_of

# Generous, for machines that are busy with other things.
pytestmark = pytest.mark.timeout(1800)

NS = "ns"
SUBJECTS = st.sampled_from(["Anna", "anna", "Zoë"])
RELATIONS = st.sampled_from(["employer", MULTI_VALUED])
OBJECTS = st.sampled_from(["Acme", "Beta", "Gamma"])
TIMES = st.sampled_from([None, None, datetime(1885, 3, 4, tzinfo=UTC), datetime(1893, 3, 4, tzinfo=UTC)])
CONTENTS = st.builds(Content, SUBJECTS, RELATIONS, OBJECTS, valid_from=TIMES)
POLICIES = st.sampled_from(ConflictPolicy)
# Facts are addressed by the order of their creation, also those whose id the store made.
PLACES = st.integers(0, 11)
GIVEN = st.sampled_from(["", "", "", "one", "two", "three"])
CHANGES = st.fixed_dictionaries(
    {}, optional=dict(zip(PARTS, (SUBJECTS, RELATIONS, OBJECTS, TIMES), strict=True))
)
MUTATIONS = st.one_of(
    st.builds(CreateFact, st.just(NS), CONTENTS, GIVEN, POLICIES),
    st.builds(CreateFact, st.just(NS), CONTENTS, st.just(""), POLICIES),
    st.builds(UpdateFact, st.just(NS), PLACES, CHANGES),
    st.builds(DeleteFact, st.just(NS), PLACES),
    st.builds(UndeleteFact, st.just(NS), PLACES),
    st.builds(RollbackFact, st.just(NS), PLACES, st.integers(1, 4)),
)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="interleaf-model-"))
        self.store: SqlStore = open_store(self.folder / "facts.db")
        self.model = Model()
        self.names: dict[str, str] = {}  # the model's names of facts -> the store's
        self.requests: list[tuple[list[FactMutation], Context, WriteResult]] = []
        self.sequence = 0

    @initialize()
    def begin(self) -> None:
        self.store.create_namespace(NS, "", frozenset({MULTI_VALUED}), Context())

    def teardown(self) -> None:
        problems = self.store.check()
        self.store.close()
        shutil.rmtree(self.folder)
        assert problems == []

    def _addressed(self, mutation: FactMutation) -> tuple[FactMutation, FactMutation]:
        """The mutation for the model and for the store."""
        if isinstance(mutation, CreateFact):
            return mutation, mutation
        place = int(mutation.fact_id)
        known = list(self.model.facts)
        name = known[place] if place < len(known) else "none"
        return replace(mutation, fact_id=name), replace(mutation, fact_id=self.names.get(name, "none"))

    def _expect(self, mutations: list[FactMutation]) -> tuple[Model, list[str], type[StoreError] | None]:
        after, touched = self.model.copy(), []
        for mutation in mutations:
            try:
                touched.append(after.apply(mutation))
            except Refused as refusal:
                return self.model, [], refusal.error
        return after, touched, None

    @rule(drawn=st.lists(MUTATIONS, min_size=1, max_size=4), named=st.booleans(), dry=st.booleans())
    def write(self, drawn: list[FactMutation], named: bool, dry: bool) -> None:
        pairs = [self._addressed(mutation) for mutation in drawn]
        theirs = [pair[1] for pair in pairs]
        after, touched, refusal = self._expect([pair[0] for pair in pairs])
        context = Context(request_id=str(uuid.uuid4()) if named else "", validate_only=dry and not named)
        if refusal is not None:
            with pytest.raises(refusal) as refused:
                self.store.write(theirs, context)
            assert refused.type is refusal
            return
        result = self.store.write(theirs, context)
        assert result.namespace_revision == after.revision
        if context.validate_only:
            return
        for name, fact in zip(touched, result.facts, strict=True):
            assert self.names.setdefault(name, fact.fact_id) == fact.fact_id
        self.model = after
        if named:
            self.requests.append((theirs, context, result))

    @rule(rows=st.lists(st.tuples(CONTENTS, GIVEN), min_size=1, max_size=5), policy=POLICIES)
    def bring(self, rows: list[tuple[Content, str]], policy: ConflictPolicy) -> None:
        written = failed = 0
        for content, fact_id in rows:
            said = said_of(content)
            before = self.model.revision
            known = self.model.facts.get(fact_id)
            if known is not None and known.live and known.said == said:
                continue
            try:
                if known is not None and known.live and policy is ConflictPolicy.REPLACE:
                    self.model.revise(known, said)
                else:
                    said_already = known is None and self.model.says(said)
                    self.model.apply(CreateFact(NS, content, "" if said_already else fact_id, policy))
            except Refused:
                failed += 1
            written += self.model.revision > before
        chunk = [ImportRow(n, content, fact_id) for n, (content, fact_id) in enumerate(rows, start=1)]
        result = self.store.import_rows(NS, str(uuid.uuid4()), chunk, policy, Context()).result()
        progress = result.progress
        assert (progress.rows, progress.written, progress.failed) == (len(rows), written, failed)
        assert result.namespace_revision == self.model.revision
        self._learn_names()

    def _learn_names(self) -> None:
        listed = self.store.list_facts(NS, limit=1000, show_deleted=True).facts
        self.names = {name: fact.fact_id for name, fact in zip(self.model.facts, listed, strict=True)}

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        mutations, context, first = data.draw(st.sampled_from(self.requests))
        again = self.store.write(mutations, context)
        assert again == replace(first, replayed=True)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(self.folder / "facts.db")

    @invariant()
    def facts_agree(self) -> None:
        page = self.store.list_facts(NS, limit=1000, show_deleted=True) if self.model.revision else None
        if page is None:
            return
        assert page.namespace_revision == self.model.revision
        found = [(said_of(f.content), not f.deleted, f.revision) for f in page.facts]
        assert found == [(e.said, e.live, len(e.history)) for e in self.model.facts.values()]
        live = sum(entry.live for entry in self.model.facts.values())
        assert self.store.get_namespace(NS).fact_count == live

    @invariant()
    def history_agrees(self) -> None:
        for name, entry in self.model.facts.items():
            revisions = self.store.list_revisions(NS, self.names[name], limit=100)
            assert len(revisions) == len(entry.history)
            newest = revisions[0].fact
            assert newest == self.store.get_fact(NS, self.names[name])

    @invariant()
    def every_revision_is_in_the_outbox_once(self) -> None:
        entries = self.store.read_outbox(after=0, limit=10_000)
        assert [entry.namespace_revision for entry in entries] == list(range(1, self.model.revision + 1))
        newest = self.store.last_sequence()
        assert newest >= self.sequence
        self.sequence = newest


StoreMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=20)
TestStoreAgainstModel = StoreMachine.TestCase
