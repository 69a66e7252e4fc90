"""FactWriter: what each mutation must do and must refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kb_store.contract import Store
from kb_store.errors import (
    AlreadyExists,
    ConflictingFact,
    EtagMismatch,
    InvalidInput,
    LimitExceeded,
    NotFound,
    StoreError,
    WrongState,
)
from kb_store.model import (
    Action,
    ConflictPolicy,
    Context,
    CreateFact,
    DeleteFact,
    FactMutation,
    RollbackFact,
    UndeleteFact,
    UpdateFact,
)
from tests.contract.harness import ANYONE, NS, Clock, Rules, content, create, revision, traces


def write(store: Store, *mutations: FactMutation, context: Context = ANYONE) -> Any:
    return store.write(mutations, context)


class WritingRules(Rules):
    def test_created_fact_is_complete(self, store: Store, clock: Clock) -> None:
        said = content(
            aliases=("A. Keller", "Änne"),
            source="register",
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
            valid_to=datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        )
        result = write(store, CreateFact(NS, said, "anna-job"))
        (fact,) = result.facts
        assert (fact.namespace, fact.fact_id, fact.content) == (NS, "anna-job", said)
        assert (fact.revision, fact.namespace_revision, result.namespace_revision) == (1, 1, 1)
        assert fact.create_time == fact.update_time == clock.now
        assert fact.uid
        assert fact.etag
        assert not fact.deleted
        assert store.get_fact(NS, "anna-job") == fact

    def test_made_ids_are_usable_and_differ(self, store: Store) -> None:
        facts = write(store, *(CreateFact(NS, content(f"s{n}")) for n in range(200))).facts
        assert len({fact.fact_id for fact in facts}) == len({fact.uid for fact in facts}) == 200
        assert store.get_facts(NS, [fact.fact_id for fact in facts]) == facts

    def test_taken_id_is_refused_even_when_deleted(self, store: Store) -> None:
        create(store, fact_id="one")
        with pytest.raises(AlreadyExists):
            create(store, "Someone Else", fact_id="one")
        write(store, DeleteFact(NS, "one"))
        with pytest.raises(AlreadyExists):
            create(store, "Someone Else", fact_id="one")

    def test_identical_triple_without_id_returns_the_fact_as_it_is(self, store: Store) -> None:
        fact = create(store, aliases=("A. K.",))
        before = traces(store)
        result = write(store, CreateFact(NS, content(source="elsewhere")))
        assert result.facts == (fact,)
        assert result.namespace_revision == fact.namespace_revision
        assert traces(store) == before

    def test_conflict_fails_and_names_the_fact(self, store: Store) -> None:
        fact = create(store)
        before = traces(store)
        with pytest.raises(ConflictingFact) as refusal:
            create(store, object_="Beta")
        assert refusal.value.details["fact_id"] == fact.fact_id
        assert traces(store) == before

    def test_conflict_replaces(self, store: Store) -> None:
        fact = create(store, aliases=("A. K.",))
        (new,) = write(
            store, CreateFact(NS, content(object_="Beta"), on_conflict=ConflictPolicy.REPLACE)
        ).facts
        assert (new.fact_id, new.uid, new.revision) == (fact.fact_id, fact.uid, 2)
        assert new.content == content(object_="Beta")
        assert store.list_revisions(NS, fact.fact_id, limit=1)[0].action is Action.REPLACE

    def test_conflict_adds(self, store: Store) -> None:
        one = create(store)
        (two,) = write(store, CreateFact(NS, content(object_="Beta"), on_conflict=ConflictPolicy.ADD)).facts
        assert store.list_facts(NS, limit=10).facts == (one, two)

    def test_the_same_for_another_time_is_another_fact(self, store: Store) -> None:
        terms = [
            content(
                valid_from=datetime(year, 3, 4, tzinfo=UTC), valid_to=datetime(year + 4, 3, 4, tzinfo=UTC)
            )
            for year in (1885, 1893)
        ]
        (one,) = write(store, CreateFact(NS, terms[0])).facts
        with pytest.raises(ConflictingFact) as refusal:
            write(store, CreateFact(NS, terms[1]))
        assert refusal.value.details["fact_id"] == one.fact_id
        (two,) = write(store, CreateFact(NS, terms[1], on_conflict=ConflictPolicy.ADD)).facts
        assert store.list_facts(NS, limit=10).facts == (one, two)
        for policy in ConflictPolicy:
            assert write(store, CreateFact(NS, terms[1], on_conflict=policy)).facts == (two,)

    def test_another_time_is_another_fact_under_an_id_of_its_own_too(self, store: Store) -> None:
        first, second, third = (
            content(valid_from=datetime(year, 3, 4, tzinfo=UTC)) for year in (2001, 2002, 2003)
        )
        one = create(store, fact_id="one", valid_from=first.valid_from)
        with pytest.raises(ConflictingFact) as refusal:
            write(store, CreateFact(NS, second, "two"))
        assert refusal.value.details["fact_id"] == "one"
        assert write(store, CreateFact(NS, first, "same")).facts[0].fact_id == "same"
        write(store, DeleteFact(NS, "same"))
        (two,) = write(store, CreateFact(NS, second, "two", ConflictPolicy.ADD)).facts
        (new,) = write(store, CreateFact(NS, third, "three", ConflictPolicy.REPLACE)).facts
        assert (new.fact_id, new.content) == ("one", third)
        assert write(store, CreateFact(NS, second, "four", ConflictPolicy.REPLACE)).facts == (two,)
        assert store.list_facts(NS, limit=10).facts == (new, two)
        assert new.uid == one.uid

    def test_another_time_comes_into_a_group_by_no_other_door(self, store: Store) -> None:
        create(store, fact_id="first", valid_from=datetime(1885, 3, 4, tzinfo=UTC))
        write(store, DeleteFact(NS, "first"))
        create(store, fact_id="second", valid_from=datetime(1893, 3, 4, tzinfo=UTC))
        with pytest.raises(ConflictingFact):
            write(store, UndeleteFact(NS, "first"))
        create(store, "Anna Keler", fact_id="third", valid_from=datetime(1897, 3, 4, tzinfo=UTC))
        with pytest.raises(ConflictingFact) as refusal:
            write(store, UpdateFact(NS, "third", {"subject": "Anna Keller"}))
        assert refusal.value.details["fact_id"] == "second"

    def test_several_times_of_a_multi_valued_relation(self, store: Store) -> None:
        create(store, relation="child", valid_to=datetime(2020, 1, 1, tzinfo=UTC))
        create(store, relation="child", valid_from=datetime(2021, 1, 1, tzinfo=UTC))
        assert store.get_namespace(NS).fact_count == 2

    @pytest.mark.parametrize("relation", ["employer", "child"])
    def test_replace_changes_all_that_the_same_fact_says(self, store: Store, relation: str) -> None:
        early, late = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
        one = create(store, relation=relation, valid_to=early)
        for said in (
            content(relation=relation, valid_to=early, aliases=("A. K.",)),
            content(relation=relation, valid_to=late, source="register"),
        ):
            replacing = CreateFact(NS, said, on_conflict=ConflictPolicy.REPLACE)
            (new,) = write(store, replacing).facts
            assert (new.fact_id, new.content) == (one.fact_id, said)
            assert write(store, replacing).facts == (new,)
        assert store.list_facts(NS, limit=10).facts == (new,)

    def test_replace_corrects_the_fact_of_the_same_object_and_time(self, store: Store) -> None:
        early, late = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
        others = [
            write(store, CreateFact(NS, said, on_conflict=ConflictPolicy.ADD)).facts[0]
            for said in (content(object_="Beta"), content(valid_to=early), content(valid_to=late))
        ]
        said = content(valid_to=late, aliases=("A. K.",))
        (new,) = write(store, CreateFact(NS, said, on_conflict=ConflictPolicy.REPLACE)).facts
        assert store.list_facts(NS, limit=10).facts == (*others[:2], new)

    def test_multi_valued_relation_never_conflicts(self, store: Store) -> None:
        one = create(store, relation="child", object_="Ben")
        two = create(store, relation="child", object_="Cleo")
        assert store.list_facts(NS, limit=10).facts == (one, two)

    @pytest.mark.parametrize(
        "other",
        [
            content("anna keller"),
            content("Anna Keller "),
            content("Anna Kelle\u0301r"),
            content(relation="Employer"),
        ],
    )
    def test_conflicts_are_byte_exact(self, store: Store, other: Any) -> None:
        create(store)
        write(store, CreateFact(NS, other))
        assert store.get_namespace(NS).fact_count == 2

    def test_deleted_fact_does_not_conflict(self, store: Store) -> None:
        fact = create(store)
        write(store, DeleteFact(NS, fact.fact_id))
        assert create(store, object_="Beta").revision == 1

    def test_conflicts_are_seen_within_a_batch(self, store: Store) -> None:
        before = traces(store)
        with pytest.raises(ConflictingFact):
            write(store, CreateFact(NS, content()), CreateFact(NS, content(object_="Beta")))
        assert traces(store) == before

    def test_update_changes_only_what_is_named(self, store: Store, clock: Clock) -> None:
        fact = create(store, aliases=("A. K.",), source="old")
        clock.advance(seconds=1)
        (new,) = write(store, UpdateFact(NS, fact.fact_id, {"object": "Beta", "source": ""}, fact.etag)).facts
        assert new.content == content(object_="Beta", aliases=("A. K.",))
        assert (new.revision, new.create_time, new.update_time) == (2, fact.create_time, clock.now)
        assert new.etag != fact.etag
        assert store.get_fact(NS, fact.fact_id) == new

    def test_update_with_the_same_content_changes_nothing(self, store: Store) -> None:
        fact = create(store)
        before = traces(store)
        assert write(store, UpdateFact(NS, fact.fact_id, {"object": "Acme"})).facts == (fact,)
        assert traces(store) == before

    def test_update_into_a_conflict_is_refused(self, store: Store) -> None:
        create(store)
        other = create(store, "Anna Keler", object_="Beta")
        with pytest.raises(ConflictingFact):
            write(store, UpdateFact(NS, other.fact_id, {"subject": "Anna Keller"}))

    def test_facts_that_were_added_together_can_each_be_corrected(self, store: Store) -> None:
        create(store)
        (two,) = write(store, CreateFact(NS, content(object_="Beta"), on_conflict=ConflictPolicy.ADD)).facts
        (new,) = write(store, UpdateFact(NS, two.fact_id, {"object": "Gamma"})).facts
        assert new.content.object == "Gamma"

    def test_delete_and_undelete(self, store: Store, clock: Clock) -> None:
        fact = create(store)
        (gone,) = write(store, DeleteFact(NS, fact.fact_id, fact.etag)).facts
        assert gone.delete_time == clock.now
        assert gone.purge_time == clock.now + timedelta(days=30)
        assert gone.etag != fact.etag
        assert store.get_fact(NS, fact.fact_id) == gone
        assert store.get_namespace(NS).fact_count == 0
        (back,) = write(store, UndeleteFact(NS, fact.fact_id, gone.etag)).facts
        assert (back.content, back.delete_time, back.purge_time) == (fact.content, None, None)
        assert back.revision == 3
        assert store.get_namespace(NS).fact_count == 1

    def test_undelete_into_a_conflict_is_refused(self, store: Store) -> None:
        fact = create(store)
        write(store, DeleteFact(NS, fact.fact_id))
        create(store, object_="Beta")
        with pytest.raises(ConflictingFact):
            write(store, UndeleteFact(NS, fact.fact_id))

    def test_rollback_makes_a_new_revision(self, store: Store) -> None:
        fact = create(store)
        write(store, UpdateFact(NS, fact.fact_id, {"object": "Beta"}))
        (back,) = write(store, RollbackFact(NS, fact.fact_id, 1)).facts
        assert (back.content, back.revision) == (fact.content, 3)
        actions = [entry.action for entry in store.list_revisions(NS, fact.fact_id, limit=10)]
        assert actions == [Action.ROLLBACK, Action.UPDATE, Action.CREATE]

    def test_rollback_brings_the_whole_content_back(self, store: Store) -> None:
        moment = datetime(2020, 1, 1, tzinfo=UTC)
        fact = create(store, aliases=("A. K.",), source="register", valid_from=moment)
        changes = {"subject": "B", "relation": "r", "aliases": (), "source": "", "valid_from": None}
        write(store, UpdateFact(NS, fact.fact_id, changes))
        (back,) = write(store, RollbackFact(NS, fact.fact_id, 1)).facts
        assert back.content == fact.content
        assert store.get_fact(NS, fact.fact_id) == back

    def test_namespaces_know_nothing_of_each_other(self, store: Store) -> None:
        store.create_namespace("other", "", frozenset(), ANYONE)
        mine = create(store, fact_id="one")
        theirs = create(store, object_="Beta", namespace="other", fact_id="one")
        write(store, CreateFact("other", content("Zoe")))
        write(store, DeleteFact(NS, "one"))
        assert store.get_fact("other", "one") == theirs
        assert store.list_facts("other", limit=9).facts[0] == theirs
        assert (revision(store), revision(store, "other")) == (2, 2)
        assert store.list_revisions("other", "one", limit=9)[0].fact == theirs
        assert store.list_revisions(NS, "one", limit=9)[1].fact == mine

    def test_rollback_to_a_revision_of_the_same_batch(self, store: Store) -> None:
        fact = create(store)
        facts = write(
            store,
            UpdateFact(NS, fact.fact_id, {"object": "Beta"}),
            UpdateFact(NS, fact.fact_id, {"object": "Gamma"}),
            RollbackFact(NS, fact.fact_id, 2),
        ).facts
        assert [each.content.object for each in facts] == ["Beta", "Gamma", "Beta"]
        assert [each.revision for each in facts] == [2, 3, 4]

    def test_wrong_states_are_refused(self, store: Store) -> None:
        fact = create(store)
        with pytest.raises(WrongState):
            write(store, UndeleteFact(NS, fact.fact_id))
        write(store, DeleteFact(NS, fact.fact_id))
        for mutation in (
            UpdateFact(NS, fact.fact_id, {"object": "Beta"}),
            DeleteFact(NS, fact.fact_id),
            RollbackFact(NS, fact.fact_id, 1),
        ):
            with pytest.raises(WrongState):
                write(store, mutation)

    def test_a_stale_etag_is_refused(self, store: Store) -> None:
        fact = create(store)
        write(store, UpdateFact(NS, fact.fact_id, {"object": "Beta"}))
        before = traces(store)
        for mutation in (
            UpdateFact(NS, fact.fact_id, {"object": "Gamma"}, fact.etag),
            DeleteFact(NS, fact.fact_id, fact.etag),
            UndeleteFact(NS, fact.fact_id, fact.etag),
            RollbackFact(NS, fact.fact_id, 1, fact.etag),
        ):
            with pytest.raises(EtagMismatch):
                write(store, mutation)
        assert traces(store) == before

    def test_what_does_not_exist_is_not_found(self, store: Store) -> None:
        fact = create(store)
        for mutation in (
            CreateFact("nowhere", content()),
            UpdateFact(NS, "none", {"object": "x"}),
            UpdateFact(NS, "\ud800 NONE", {"object": "x"}),
            DeleteFact("nowhere", fact.fact_id),
            UndeleteFact(NS, "none"),
            RollbackFact(NS, fact.fact_id, 2),
        ):
            with pytest.raises(NotFound) as refusal:
                write(store, mutation)
            assert str(refusal.value).isascii()

    @pytest.mark.parametrize(
        ("mutation", "field"),
        [
            (CreateFact(NS, content(subject="")), "subject"),
            (CreateFact(NS, content(relation=" ")), "relation"),
            (CreateFact(NS, content(object_="a\nb")), "object"),
            (CreateFact(NS, content(object_="a\0b")), "object"),
            (CreateFact(NS, content(source="\ud800")), "source"),
            (CreateFact(NS, content(aliases=("fine", ""))), "aliases[1]"),
            (CreateFact(NS, content(valid_from=datetime(2020, 1, 1))), "valid_from"),
            (CreateFact(NS, content(), "Not An Id"), "fact_id"),
            (CreateFact("Not A Namespace", content()), "namespace"),
            (UpdateFact(NS, "x", {"object": 7}), "object"),
            (UpdateFact(NS, "x", {"fact_id": "y"}), "update_mask"),
            (RollbackFact(NS, "x", 0), "revision"),
            (RollbackFact(NS, "x", 2**63), "revision"),
        ],
    )
    def test_bad_input_names_the_field(self, store: Store, mutation: FactMutation, field: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            write(store, mutation)
        assert refusal.value.field == field

    def test_times_must_follow_each_other_also_after_an_update(self, store: Store) -> None:
        fact = create(store, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        with pytest.raises(InvalidInput, match="valid_to"):
            write(store, UpdateFact(NS, fact.fact_id, {"valid_to": datetime(2019, 1, 1, tzinfo=UTC)}))

    def test_limits_are_named(self, store: Store) -> None:
        with pytest.raises(LimitExceeded) as refusal:
            create(store, "s" * 257)
        assert refusal.value.details["limit"] == "max_subject_length"
        create(store, "s" * 256)
        with pytest.raises(LimitExceeded) as refusal:
            write(store, *[CreateFact(NS, content(f"s{n}")) for n in range(1001)])
        assert refusal.value.details["limit"] == "max_batch_facts"

    def test_a_batch_is_all_or_none_and_of_one_namespace(self, store: Store) -> None:
        store.create_namespace("other", "", frozenset(), ANYONE)
        before = traces(store)
        for second in (
            CreateFact("other", content()),
            CreateFact(NS, content(subject="")),
            DeleteFact(NS, "none"),
        ):
            with pytest.raises(StoreError):
                write(store, CreateFact(NS, content("Zoe")), second)
        with pytest.raises(InvalidInput):
            write(store)
        assert traces(store) == before

    def test_each_change_raises_the_revision_by_one(self, store: Store) -> None:
        facts = write(store, *(CreateFact(NS, content(f"s{n}")) for n in range(3))).facts
        assert [fact.namespace_revision for fact in facts] == [1, 2, 3]
        result = write(
            store, UpdateFact(NS, facts[0].fact_id, {"object": "x"}), CreateFact(NS, content("s1"))
        )
        assert [fact.namespace_revision for fact in result.facts] == [4, 2]
        assert result.namespace_revision == revision(store) == 4

    def test_the_principal_is_kept(self, store: Store) -> None:
        (fact,) = write(store, CreateFact(NS, content()), context=Context(principal="key:alice")).facts
        assert store.list_revisions(NS, fact.fact_id, limit=1)[0].principal == "key:alice"
