"""The same facts as key/value tokens and as text in the prompt: time to first token, memory, accuracy.

    python -m bench.latency --size quick|full --seed N [--n N] [--timed N]

For each question the best K facts of a knowledge base of 10,000 are found. kv: they go into attention; text: they
stand before the prompt, a sentence each. Times are the engine's, from the start on the prompt to the first token,
one request at a time, retrieval and compiling apart; ttft_ratio_text_K: text / kv of the same question, median
(larger is better for kv); ttft_ratio_none_16: kv / no facts. mem_ratio_text_16: bytes of keys and values that
attention reads, text / kv. accuracy_*: the whole object begins the answer, half of the questions naming the relation
and half in unseen phrasings; kv as any user's question (the prior decides which of the K are injected), kv_all with
all K.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.answers import says_first
from bench.common import Bench, sample_keys, share_keys
from bench.encoder_questions import Asker, Case
from bench.encoder_world import invented_world
from bench.service_run import Ask, Service, concurrently, model_arguments, running, tokenizer_of
from bench.text_facts import before
from editors.kv.phrases import load
from editors.kv.trained import load_encoder
from engines.models import pick_dtype, resolve_model
from interleaf import Answer, Fact

_COUNTS = (8, 16, 64)
_COMPARED = 16  # facts, where one number is given
_KB = 10_000
_NAMESPACE = "latency"
_MARGIN = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that attention reads, per token of the context and per token of a fact."""

    context: int
    injected: int


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("latency", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    keys, rows, model = asyncio.run(_measure(bench))
    bench.finish(
        keys,
        n=_asked(bench),
        model=model,
        rows=rows,
        configuration={"facts": bench.args.facts, "timed": _timed(bench), "counts": _COUNTS},
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    parser.add_argument("--n", type=int, help="questions instead of the usual number")
    parser.add_argument("--timed", type=int, help="questions that are timed, one after the other")
    parser.add_argument("--facts", type=int, default=_KB, help="facts of the knowledge base")


def _asked(bench: Bench) -> int:
    return int(bench.args.n or (1000 if bench.full else 12))


def _timed(bench: Bench) -> int:
    return min(_asked(bench), int(bench.args.timed or (100 if bench.full else 8)))


async def _measure(bench: Bench) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    arguments = bench.args
    world = invented_world(load(), arguments.facts, bench.seed)
    tokenizer = tokenizer_of(arguments.model)
    cells = Asker(world, load(), tokenizer, bench.seed).present((_asked(bench) + 1) // 2)
    pairs = zip(cells["right_phrasing"], cells["right_relation_named"], strict=False)
    cases = [case for pair in pairs for case in pair][: _asked(bench)]
    sizes = sizes_of(arguments.model, arguments.encoder)
    keys: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    async with running(model=arguments.model, encoder=arguments.encoder) as service:
        with bench.stage(f"storing {arguments.facts} facts"):
            await service.store(_NAMESPACE, world.contents(arguments.facts))
        for count in _COUNTS:
            with bench.stage(f"finding {count} facts for {len(cases)} questions"):
                found = await _found(service, cases, count)
            with bench.stage(f"time with {count} facts"):
                timed = [
                    await _time(service, case, facts)
                    for case, facts in zip(cases[: _timed(bench)], found, strict=False)
                ]
            keys |= _time_keys(count, timed, sizes)
            rows += [_time_row(count, item) for item in timed]
            with bench.stage(f"accuracy with {count} facts"):
                keys |= await _accuracy(service, tokenizer, cases, found, count)
        answer = await service.ask(Ask(_NAMESPACE, "The end", 1))
    return keys, rows, f"{answer.model}, encoder {answer.encoder}"


def sizes_of(model: str, encoder: str) -> Sizes:
    """From the model's configuration and the encoder's layers; both in the precision that is served."""
    from transformers import AutoConfig

    path = resolve_model(model)
    config = AutoConfig.from_pretrained(path, local_files_only=True)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    one_layer = 2 * int(heads) * int(size) * pick_dtype().itemsize
    layers = load_encoder(encoder, path.name).adapter.layers
    return Sizes(int(config.num_hidden_layers) * one_layer, len(layers) * one_layer)


@dataclass(frozen=True, slots=True)
class Timed:
    """One question, answered with the first token only, in three ways."""

    kv: Answer
    text: Answer
    none: Answer


async def _found(service: Service, cases: Sequence[Case], count: int) -> list[list[Fact]]:
    client = service.space(_NAMESPACE)

    async def one(case: Case) -> list[Fact]:
        return [hit.fact for hit in await client.search(case.prompt, top_k=count)]

    return await concurrently(one, cases)


async def _time(service: Service, case: Case, facts: Sequence[Fact]) -> Timed:
    """Each way once to warm up, facts compiled by it, and once to measure."""
    kv = Ask(_NAMESPACE, case.prompt, 1, facts=tuple(fact.name for fact in facts))
    text = Ask(_NAMESPACE, before(case.prompt, facts), 1, use_facts=False)
    none = Ask(_NAMESPACE, case.prompt, 1, use_facts=False)
    for ask in (kv, text, none):
        await service.ask(ask)
    return Timed(await service.ask(kv), await service.ask(text), await service.ask(none))


def _time_keys(count: int, timed: Sequence[Timed], sizes: Sizes) -> dict[str, Any]:
    def seconds(name: str) -> list[float]:
        return [getattr(item, name).timings.first_token for item in timed]

    def ratio(name: str, above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
        ratios = [a / b for a, b in zip(above, below, strict=True)]
        return sample_keys(name, ratios, statistic=statistics.median)

    kv, text, none = seconds("kv"), seconds("text"), seconds("none")
    memory = [
        item.text.prompt_tokens
        * sizes.context
        / (item.kv.prompt_tokens * sizes.context + item.kv.injected_tokens * sizes.injected)
        for item in timed
    ]
    found: dict[str, Any] = {
        **ratio(f"ttft_ratio_text_{count}", text, kv),
        **ratio(f"ttft_ratio_none_{count}", kv, none),
        **sample_keys(f"mem_ratio_text_{count}", memory, statistic=statistics.median),
    }
    for name, values in (("kv", kv), ("text", text), ("none", none)):
        found[f"first_ms_{name}_{count}"] = statistics.median(values) * 1000
    found[f"injected_tokens_{count}"] = statistics.median([item.kv.injected_tokens for item in timed])
    found[f"text_tokens_{count}"] = statistics.median([item.text.prompt_tokens for item in timed])
    return found


def _time_row(count: int, item: Timed) -> dict[str, Any]:
    return {
        "facts": count,
        "kv_s": item.kv.timings.first_token,
        "text_s": item.text.timings.first_token,
        "none_s": item.none.timings.first_token,
        "injected_tokens": item.kv.injected_tokens,
        "prompt_tokens": item.kv.prompt_tokens,
        "text_tokens": item.text.prompt_tokens,
    }


async def _accuracy(
    service: Service,
    tokenizer: Any,
    cases: Sequence[Case],
    found: Sequence[Sequence[Fact]],
    count: int,
) -> dict[str, Any]:
    """The facts by retrieval, the same all injected, the same as text."""
    asks: dict[str, list[Ask]] = {"kv": [], "kv_all": [], "text": []}
    for case, facts in zip(cases, found, strict=True):
        room = len(tokenizer(f" {case.objects[0]}", add_special_tokens=False).input_ids) + _MARGIN
        names = tuple(fact.name for fact in facts)
        asks["kv"].append(Ask(_NAMESPACE, case.prompt, room, top_k=count))
        asks["kv_all"].append(Ask(_NAMESPACE, case.prompt, room, facts=names))
        asks["text"].append(Ask(_NAMESPACE, before(case.prompt, facts), room, use_facts=False))
    keys: dict[str, Any] = {}
    for name, questions in asks.items():
        answers = await service.ask_all(questions)
        right = [says_first(a.text, c.objects[0]) for c, a in zip(cases, answers, strict=True)]
        keys |= share_keys(f"accuracy_{name}_{count}", right)
    return keys


if __name__ == "__main__":
    main()
