"""Calls of the Inference service. The docstrings are those of the client's methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interleaf import _decode
from interleaf._calls import Call, Streamed, several
from interleaf._session import FactRef, Session
from interleaf._types import Answer, ChatMessage, Comparison, Scores, Weighing
from interleaf.v1 import inference_pb2

INFERENCE = "/interleaf.v1.Inference/"
Prompt = str | Sequence[ChatMessage | Mapping[str, str]]
"""A question, or the messages of a chat (`ChatMessage`, or {"role": ..., "content": ...})."""


def _message(message: ChatMessage | Mapping[str, str]) -> Any:
    if isinstance(message, ChatMessage):
        return inference_pb2.ChatMessage(role=message.role, content=message.content)
    fields = message if isinstance(message, Mapping) else {}
    if not all(isinstance(fields.get(name), str) for name in ("role", "content")):
        raise ValueError(
            f'a chat is a list of ChatMessage, or of {{"role": ..., "content": ...}}; got {message!r}'
        )
    return inference_pb2.ChatMessage(role=fields["role"], content=fields["content"])


def input_of(prompt: Prompt, complete: bool) -> dict[str, Any]:
    """The prompt as the API's `input`."""
    if isinstance(prompt, str):
        if complete:
            return {"prompt": prompt}
        prompt = [ChatMessage("user", prompt)]
    elif complete:
        raise ValueError("complete=True continues a text: give a string, not messages")
    elif not isinstance(prompt, Iterable):
        raise ValueError(f"prompt: give a string, or a list of messages; got {prompt!r}")
    return {"chat": inference_pb2.Chat(messages=map(_message, prompt))}


def retrieval_of(session: Session, top_k: int, use_facts: bool, facts: Iterable[FactRef]) -> Any:
    """Which facts to inject, as the API's `retrieval`."""
    return inference_pb2.Retrieval(
        top_k=top_k,
        disabled=not use_facts,
        facts=map(session.fact_name, several("facts", facts)),
        min_revision=session.min_revision() if use_facts else 0,
    )


def _sampling(max_tokens: int, temperature: float, top_p: float, seed: int, stop: Sequence[str]) -> Any:
    return inference_pb2.Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=[stop] if isinstance(stop, str) else stop,
    )


def ask(
    session: Session,
    prompt: Prompt,
    *,
    complete: bool = False,
    max_tokens: int = 0,
    temperature: float = 0.0,
    top_p: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
    use_facts: bool = True,
    strict: bool = False,
    original_weights: bool = False,
) -> Call[Answer]:
    """Answers with the relevant facts in the model's attention, and says which it used.

        answer = client.ask("Who does Anna Keller work for?")
        print(answer.text, [c.object for c in answer.citations if c.used])

    A string is a question to the model, a list of messages a chat; with `complete=True` the string is
    continued as it stands. `facts` injects these instead of retrieving; `use_facts=False` asks the plain model.
    `strict=True` says what a stored fact says, or nothing: then the text is empty and `finish_reason` ABSTAINED.
    `original_weights=True` answers without the edits that are applied (`client.edits`).
    """
    request = inference_pb2.GenerateRequest(
        parent=session.parent,
        sampling=_sampling(max_tokens, temperature, top_p, seed, stop),
        retrieval=retrieval_of(session, top_k, use_facts, facts),
        strict=strict,
        original_weights=original_weights,
        **input_of(prompt, complete),
    )
    return Call(
        INFERENCE + "Generate", request, inference_pb2.GenerateResponse, _decode.answer, kind="generate"
    )


def stream(
    session: Session,
    prompt: Prompt,
    *,
    complete: bool = False,
    max_tokens: int = 0,
    temperature: float = 0.0,
    top_p: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
    use_facts: bool = True,
    strict: bool = False,
    original_weights: bool = False,
) -> Streamed[str | Answer]:
    """The same as `ask`, piece by piece; at the end `answer` holds the whole.

    with client.stream("Who does Anna Keller work for?") as pieces:
        for text in pieces:
            print(text, end="", flush=True)
    print(pieces.answer.citations)
    """
    call = ask(
        session,
        prompt,
        complete=complete,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=stop,
        top_k=top_k,
        facts=facts,
        use_facts=use_facts,
        strict=strict,
        original_weights=original_weights,
    )
    return Streamed(
        INFERENCE + "StreamGenerate",
        call.request,
        inference_pb2.StreamGenerateResponse,
        _decode.stream_event,
        kind="generate",
    )


def compare(
    session: Session,
    prompt: Prompt,
    *,
    complete: bool = False,
    max_tokens: int = 0,
    temperature: float = 0.0,
    top_p: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
) -> Call[Comparison]:
    """The plain model's answer and the answer with facts, side by side.

    both = client.compare("Who does Anna Keller work for?")
    print(both.original.text, "->", both.edited.text)
    """
    request = inference_pb2.CompareRequest(
        parent=session.parent,
        sampling=_sampling(max_tokens, temperature, top_p, seed, stop),
        retrieval=retrieval_of(session, top_k, True, facts),
        **input_of(prompt, complete),
    )
    return Call(
        INFERENCE + "Compare", request, inference_pb2.CompareResponse, _decode.comparison, kind="generate"
    )


def score(
    session: Session,
    prompt: str,
    continuations: Sequence[str],
    *,
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
    use_facts: bool = True,
    original_weights: bool = False,
) -> Call[Scores]:
    """How likely the model finds each continuation of a prompt that stands as it is.

        client.score("Anna Keller works for", [" Nordlicht Werft", " the city of Kiel"])

    `original_weights=True` scores without the edits that are applied (`client.edits`).
    """
    if isinstance(continuations, str):
        raise ValueError("score: give a list of continuations, such as [' Paris']")
    request = inference_pb2.ScoreRequest(
        parent=session.parent,
        prompt=prompt,
        continuations=continuations,
        retrieval=retrieval_of(session, top_k, use_facts, facts),
        original_weights=original_weights,
    )
    return Call(INFERENCE + "Score", request, inference_pb2.ScoreResponse, _decode.scores, kind="generate")


def weigh(session: Session, prompt: Prompt, *, complete: bool = False, top_k: int = 0) -> Call[Weighing]:
    """Which facts a question is shown, which of those that retrieval finds it is not, and why. The model is not asked.

    for item in client.weigh("Who pays Anna Keller's wages?").facts:
        print(item.relation, item.object, item.weight, item.fit)
    """
    request = inference_pb2.WeighFactsRequest(
        parent=session.parent,
        retrieval=retrieval_of(session, top_k, True, ()),
        **input_of(prompt, complete),
    )
    return Call(
        INFERENCE + "WeighFacts", request, inference_pb2.WeighFactsResponse, _decode.weighing, kind="generate"
    )
