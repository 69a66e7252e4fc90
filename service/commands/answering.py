"""Generate, StreamGenerate and Compare: the model's answer with the facts of a namespace."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from engines.contract import (
    Engine,
    FinishReason,
    GenerateRequest,
    Generation,
    GenerationHandle,
    Message,
    Sampling,
)
from service.errors import NoModel, ShuttingDown
from service.serving.citations import Citation, Grounding, ValueCheck, cite, grounding
from service.serving.knowledge import Knowledge, KnowledgeSource, RetrievalSpec
from service.workers import Workers

_SEED_BITS = 62
# No question was put to the model.
_NOTHING = Generation("", (), (), FinishReason.STOP, 0, {}, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked, and of which namespace."""

    namespace: str
    prompt: str | tuple[Message, ...]
    sampling: Sampling
    retrieval: RetrievalSpec
    original_weights: bool = False  # whatever edits the served model carries
    strict: bool = False  # what a stored fact says, or nothing


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds."""

    retrieval: float
    compile: float
    queue: float
    first_token: float
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer and what it rests on."""

    generation: Generation
    citations: tuple[Citation, ...]
    grounding: Grounding
    injected_tokens: int
    timings: Timings
    namespace_revision: int
    model: str
    encoder: str
    abstained: bool = False  # asked to be strict, and no fact says it: the text is withheld


@dataclass(frozen=True, slots=True)
class Model:
    """The served model, and what is known of its encoder (empty and 0 where it has none)."""

    engine: Engine
    encoder: str
    grounded_threshold: float
    is_edited: Callable[[], bool] = lambda: False  # whether the weights carry edits now


def queries_of(prompt: str | Sequence[Message], longest: int) -> tuple[str, ...]:
    """The texts to retrieve with: the prompt; or a chat's last question, and then, for follow-up questions
    that name nothing themselves, the conversation up to it. Of a long text the end counts."""
    if isinstance(prompt, str):
        return (prompt[-longest:],)
    last = prompt[-1].content
    turns = [message.content for message in prompt if message.role != "system"]
    whole = "\n".join(turns)
    return (last[-longest:], whole[-longest:]) if len(turns) > 1 else (last[-longest:],)


class Answering:
    """Runs questions. `model` is None where the server has none; `note` is told of every answer with its facts."""

    def __init__(
        self,
        model: Model | None,
        knowledge: KnowledgeSource,
        workers: Workers,
        longest_query: int,
        note: Callable[[Ask, Answer], None] = lambda ask, answer: None,
    ) -> None:
        self._model, self._knowledge, self._workers = model, knowledge, workers
        self._longest_query = longest_query
        self._note = note
        self.running = 0

    @property
    def model_name(self) -> str:
        """Of the served model; empty without one."""
        return "" if self._model is None else self._model.engine.model_name

    async def answer(self, ask: Ask) -> Answer:
        """The whole answer at once."""
        model, began = self._served(), time.perf_counter()
        knowledge = await self._gather(ask)
        if ask.strict and not knowledge.known:
            return self._noted(ask, _answer(model, knowledge, _NOTHING, began))
        generation = await self._generate(model, ask, knowledge)
        return self._noted(ask, _answer(model, knowledge, generation, began))

    async def stream(self, ask: Ask) -> AsyncGenerator[str | Answer, None]:
        """Pieces of text as they are decoded, and at last the answer. Leaving stops the decoding.

        A strict answer comes in one piece, when it is known to stand.
        """
        if ask.strict:
            answer = await self.answer(ask)
            if answer.generation.text:
                yield answer.generation.text
            yield answer
            return
        model, began = self._served(), time.perf_counter()
        knowledge = await self._gather(ask)
        handle = await self._submit(model.engine, ask, knowledge)
        try:
            async with aclosing(self._pieces(handle)) as pieces:
                async for piece in pieces:
                    yield piece
            generation = _whole(handle.result())
        finally:
            handle.cancel()
        yield self._noted(ask, _answer(model, knowledge, generation, began))

    async def compare(self, ask: Ask) -> tuple[Answer, Answer]:
        """The plain model's answer (no facts, unedited weights) and the answer with facts and edits, made side by
        side with the same chance.

        Where nothing tells them apart, it is one answer: a second one, read in other company, may round differently.
        """
        model, began = self._served(), time.perf_counter()
        if ask.sampling.temperature > 0 and ask.sampling.seed is None:
            ask = replace(ask, sampling=replace(ask.sampling, seed=secrets.randbits(_SEED_BITS)))
        edited = await self._gather(ask)
        original = Knowledge((), edited.namespace_revision)
        asked = [(replace(ask, original_weights=True), original)]
        if edited.known or model.is_edited():
            asked.append((ask, edited))
        tasks = [asyncio.ensure_future(self._generate(model, *question)) for question in asked]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        with_facts = self._noted(ask, _answer(model, edited, answers[-1], began))
        return _answer(model, original, answers[0], began), with_facts

    def _noted(self, ask: Ask, answer: Answer) -> Answer:
        if ask.strict:
            answer = _withheld_unless_stored(answer)
        self._note(ask, answer)
        return answer

    def _served(self) -> Model:
        if self._model is None:
            raise NoModel
        return self._model

    async def _gather(self, ask: Ask) -> Knowledge:
        queries = queries_of(ask.prompt, self._longest_query)
        return await self._knowledge.gather(ask.namespace, queries, ask.retrieval)

    async def _generate(self, model: Model, ask: Ask, knowledge: Knowledge) -> Generation:
        handle = await self._submit(model.engine, ask, knowledge)
        self.running += 1
        try:
            return _whole(await self._workers.model.run(handle.result))
        finally:
            self.running -= 1
            handle.cancel()

    async def _submit(self, engine: Engine, ask: Ask, knowledge: Knowledge) -> GenerationHandle:
        request = GenerateRequest(
            ask.prompt, knowledge.injected, ask.sampling, ask.original_weights, scope=ask.namespace
        )
        submitting = asyncio.ensure_future(self._workers.reads.run(engine.submit, request))
        try:
            return await asyncio.shield(submitting)
        except asyncio.CancelledError:
            submitting.add_done_callback(_cancel_submitted)
            raise

    async def _pieces(self, handle: GenerationHandle) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()  # bounded by the tokens of the answer

        def pump() -> None:
            try:
                for piece in handle:
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(pieces.put_nowait, None)

        self.running += 1
        pumping = asyncio.ensure_future(self._workers.model.run(pump))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await pumping
        finally:
            self.running -= 1
            handle.cancel()
            pumping.cancel()


def _cancel_submitted(submitting: asyncio.Future[GenerationHandle]) -> None:
    """The caller went away while its request was being submitted."""
    if not submitting.cancelled() and submitting.exception() is None:
        submitting.result().cancel()


def _whole(generation: Generation) -> Generation:
    """Nobody here cancels and then asks for the result: a cancelled generation means that the engine closes."""
    if generation.finish_reason is FinishReason.CANCELLED:
        raise ShuttingDown
    return generation


def _withheld_unless_stored(answer: Answer) -> Answer:
    """An answer stands when a fact that it rests on has its object in it, letter by letter; of facts that were
    asked for together each."""
    exact = [citation for citation in answer.citations if citation.value_check is ValueCheck.EXACT]
    if exact and all(citation in exact for citation in answer.citations if citation.together):
        return answer
    silent = replace(answer.generation, text="", pieces=())
    return replace(answer, generation=silent, abstained=True)


def _answer(model: Model, knowledge: Knowledge, generation: Generation, began: float) -> Answer:
    citations = cite(knowledge.known, generation.attention, generation.text, model.grounded_threshold)
    return Answer(
        generation=generation,
        citations=citations,
        grounding=grounding(citations),
        injected_tokens=knowledge.tokens,
        timings=Timings(
            retrieval=knowledge.retrieval_seconds,
            compile=knowledge.compile_seconds,
            queue=generation.queue_seconds,
            first_token=max(0.0, generation.first_token_seconds - generation.queue_seconds),
            total=time.perf_counter() - began,
        ),
        namespace_revision=knowledge.namespace_revision,
        model=model.engine.model_name,
        encoder=model.encoder,
    )
