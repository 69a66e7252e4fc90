"""Whether a frozen model says stored facts, and nothing else: exact objects by free greedy generation.

    python -m bench.encoder --size quick|full --seed N [--n N] [--encoder FOLDER] [--kb SIZE ...]

Everything is asked through a running service with retrieval from a knowledge base of 10,000 invented facts;
subjects and objects are always of the held-out side. right_* and the exact-value cells: the whole object begins
the answer (in a chat, and where two facts are asked for: occurs in it). absent_*: the fact is not stored, rivals
are; an intrusion is an injected fact's object that the plain model would not have said. none, shuffled_*,
counterfactual: the built-in true facts. injected_CELL: the fact reached the model at all. kb_SIZE: the questions of
right_phrasing in bases of that size; a million facts only where --kb names them, embedding them takes an hour. Answers
of a full run are kept as they come (bench/kept_asking.py): a run that was ended is carried on by the same command.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import encoder_real, encoder_sizes, encoder_world
from bench.answers import auroc
from bench.common import Bench, sample_keys
from bench.encoder_asking import (
    ABSENT_TOKENS,
    AFTER,
    Asking,
    Record,
    grounded_mass,
    is_right,
    judge_absent,
    judge_clean,
    judge_present,
    judge_repeats,
    judge_said,
    relations_of,
    withheld_when_strict,
)
from bench.encoder_locality import ATTACHED, empty_answers, empty_scores, measure_text, passages
from bench.encoder_questions import Asker, Case
from bench.encoder_real import measure_real
from bench.encoder_sizes import measure_sizes
from bench.encoder_world import invented_world
from bench.kept import Kept
from bench.kept_asking import KeptAnswers, product_digest
from bench.service_run import KeptEmbedder, Service, model_arguments, running, tokenizer_of
from editors.kv.phrases import load
from interleaf import Answer

_KB = 10_000
_NAMESPACE = "invented"
_LONG = 1_000_000  # facts whose vectors are kept for the next run
_EMPTY = 5  # passages that are compared bit by bit
_QUICK, _FULL = 12, 1000


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("encoder", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    record = asyncio.run(_measure(bench))
    model = record.keys.pop("model")
    bench.finish(
        record.keys,
        n=record.asked,
        model=model,
        rows=record.rows,
        configuration={
            "per_cell": _count(bench),
            "facts": bench.args.facts,
            "sizes": _sizes(bench),
            "phrases": load().digest,
            "encoder": bench.args.encoder,
            "text": bench.args.text.name if bench.args.text else "built in",
        },
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    parser.add_argument("--n", type=int, help="questions in a cell instead of the usual")
    parser.add_argument("--facts", type=int, default=_KB, help="facts of the knowledge base")
    parser.add_argument("--kb", type=int, nargs="*", help="sizes to compare instead of the usual")
    parser.add_argument("--text", type=Path, help="more ordinary text to measure perplexity on")


def _kept(bench: Bench) -> KeptAnswers:
    arguments = bench.args
    product = product_digest(arguments.encoder)
    # Not by the sizes compared: a larger world begins with the smaller one, so more of them may be asked later.
    asked = {"facts": arguments.facts, "count": _count(bench)}
    stored_by = (encoder_real, encoder_sizes, encoder_world)
    return KeptAnswers(Kept(bench, stored_by, model=arguments.model, product=product, **asked))


def _count(bench: Bench) -> int:
    return bench.args.n or (_FULL if bench.full else _QUICK)


def _sizes(bench: Bench) -> list[int]:
    usual = [10, 100, 1_000, 10_000, 100_000] if bench.full else [10, 100, 1_000, 10_000]
    return sorted(bench.args.kb) if bench.args.kb is not None else usual


async def _measure(bench: Bench) -> Record:
    arguments, count, record = bench.args, _count(bench), Record()
    with bench.stage("the world"):
        sizes = _sizes(bench)
        world = invented_world(load(), arguments.facts, bench.seed)
        large = invented_world(load(), max(sizes), bench.seed) if max(sizes, default=0) > _KB else world
    tokenizer = tokenizer_of(arguments.model)
    asker = Asker(world, load(), tokenizer, bench.seed)
    embedder = KeptEmbedder()
    if len(large.facts) >= _LONG:
        with bench.stage(f"{len(large.facts)} keys"):
            embedder.warm(large.contents(len(large.facts)), bench.log)
    kept = _kept(bench) if bench.full else None
    async with running(
        model=arguments.model, encoder=arguments.encoder, embedder=embedder, kept=kept
    ) as service:
        asking = Asking(service, tokenizer)
        with bench.stage(f"storing {arguments.facts} invented facts"):
            await service.store(_NAMESPACE, world.contents(arguments.facts))
        present = asker.present(count)
        answers = await _present(bench, asking, record, present)
        stored = present["right_phrasing"], answers["right_phrasing"]
        await _absent(bench, asking, record, asker.absent(count), *stored)
        await _novel(bench, asking, record, present["right_seen"], answers["right_seen"])
        await measure_real(bench, service, asking, record, arguments.facts, count)
        timed = 40 if bench.full else 8
        await measure_sizes(bench, service, asking, record, large, present["right_phrasing"], sizes, timed)
        with bench.stage("ordinary text"):
            texts = passages(count, arguments.text)
            await measure_text(service, record, _NAMESPACE, await _some_facts(service), texts)
        few = texts[:_EMPTY]
        with_empty = await _empty(service, few, use_facts=True)
        without = await _empty(service, few, use_facts=False)
    with bench.stage("the model without an encoder"):
        async with running(model=arguments.model, encoder="none", embedder=embedder) as service:
            plain = await _empty(service, few, use_facts=False)
    record.keys["empty_identical"] = with_empty == without == plain
    return record


async def _present(
    bench: Bench, asking: Asking, record: Record, cells: dict[str, list[Case]]
) -> dict[str, list[Answer]]:
    """Every cell whose facts are stored."""
    found: dict[str, list[Answer]] = {}
    for cell, cases in cells.items():
        with bench.stage(f"{cell}: {len(cases)} questions"):
            # Seen phrasings are followed further, to see whether the object comes again; the unseen as far as the
            # answers to absent facts, with which their attention is compared.
            after = AFTER if cell == "right_seen" else ABSENT_TOKENS if cell == "right_phrasing" else 3
            found[cell] = await asking.answers(_NAMESPACE, cases, after=after)
        judge_present(record, cell, cases, found[cell])
        if found[cell]:
            record.keys["model"] = f"{found[cell][0].model}, encoder {found[cell][0].encoder}"
    judge_clean(record, cells["right_chat"], found["right_chat"])
    return found


async def _absent(
    bench: Bench,
    asking: Asking,
    record: Record,
    cells: dict[str, list[Case]],
    stored: Sequence[Case],
    present: Sequence[Answer],
) -> None:
    """Facts that are not stored; and how well attention tells their answers from those about `stored` ones."""
    unchanged: list[bool] = []
    silent: list[Answer] = []
    missing = [case for cases in cells.values() for case in cases]
    for cell, cases in cells.items():
        with bench.stage(f"{cell}: {len(cases)} questions"):
            edited = await asking.answers(_NAMESPACE, cases, tokens=ABSENT_TOKENS)
            plain = await asking.answers(_NAMESPACE, cases, tokens=ABSENT_TOKENS, use_facts=False)
        unchanged += judge_absent(record, cell, cases, edited, plain)
        silent += edited
    record.share("absent_unchanged", unchanged, relations_of(missing))
    if present and silent:
        _verdicts(record, stored, present, missing, silent)


async def _novel(
    bench: Bench, asking: Asking, record: Record, cases: Sequence[Case], answers: Sequence[Answer]
) -> None:
    """The same invented facts without and with the knowledge base, and what follows a right answer."""
    with bench.stage("the plain model"):
        plain = await asking.answers(_NAMESPACE, cases, use_facts=False)
        right = [place for place, case in enumerate(cases) if is_right(case, answers[place])]
        hit = [cases[place] for place in right]
        after = await asking.after_objects(_NAMESPACE, hit)
    judge_said(record, "novel_none", cases, plain)
    record.share("novel_right", [place in set(right) for place in range(len(cases))], relations_of(cases))
    judge_repeats(record, hit, [answers[place] for place in right], after)


def _verdicts(
    record: Record,
    stored: Sequence[Case],
    present: Sequence[Answer],
    missing: Sequence[Case],
    silent: Sequence[Answer],
) -> None:
    """`absent_auroc` of the attention on the most attended fact; and what is withheld when strict."""
    answers = [*((case, answer, True) for case, answer in zip(stored, present, strict=True))]
    answers += ((case, answer, False) for case, answer in zip(missing, silent, strict=True))
    relations = [case.relation for case, _, _ in answers]
    masses = [(grounded_mass(answer), there) for _, answer, there in answers]
    record.keys |= sample_keys("absent_auroc", masses, statistic=_told_apart, clusters=relations)
    withheld = [withheld_when_strict(answer) for _, answer, _ in answers]
    record.share("refusal_recall", withheld[len(present) :], relations[len(present) :])
    refused = [place for place, yes in enumerate(withheld) if yes]
    rightly = [place >= len(present) for place in refused]
    record.share("refusal_precision", rightly, [relations[place] for place in refused])


def _told_apart(masses: Sequence[tuple[float, bool]]) -> float:
    there, missing = ([mass for mass, there in masses if there is wanted] for wanted in (True, False))
    # Of a few relations a draw may have one kind only, which tells nothing.
    return auroc(there, missing) if there and missing else 0.5


async def _some_facts(service: Service) -> list[str]:
    """Names of stored facts, none of which an ordinary text speaks of."""
    names = []
    async for fact in service.space(_NAMESPACE).list(page_size=ATTACHED):
        names.append(fact.name)
        if len(names) == ATTACHED:
            break
    return names


async def _empty(service: Service, texts: Sequence[Any], *, use_facts: bool) -> Any:
    """Scores and answers in a namespace without facts."""
    scores = await empty_scores(service, texts, use_facts=use_facts)
    return scores, await empty_answers(service, texts, use_facts=use_facts)


if __name__ == "__main__":
    main()
