"""What the plain model makes of questions, read once; with facts, only the answers are gone through again.

Facts are seen from the last token of a prompt on, so everything before is the plain model's, whatever the facts
are: its keys and values are read once and kept, and a pass over the few tokens of an answer costs a fraction of one
over the whole text. Which facts a question sees may change from pass to pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editors.kv.encoder import EncoderConfig, normalised
from editors.kv.features import FactFeatures, read_features
from editors.kv.meaning import Meaning
from editors.kv.problems import Answers, Problem, Question, Scorer, evidence_tensors, lay_out, visible_facts
from editors.kv.trunk import Trunk, from_trunk
from engines.architectures import spec_for
from engines.decoding import positions
from engines.saying import turns_along


@dataclass(frozen=True, slots=True)
class Read:
    """Answers, and what the plain model made of them and of the prompts before."""

    answers: Answers
    trunk: Trunk  # of the answers' tokens
    keys: Mapping[int, Tensor]  # layer -> [questions, kv heads, before, head dim]; from the trunk's layer on
    values: Mapping[int, Tensor]
    plain: Tensor  # [questions, length, hidden]: last hidden states (after the final norm)


@dataclass(frozen=True, slots=True)
class Known:
    """A problem that was read. Half precision where it is large: these are kept by the dozen."""

    problem: Problem
    features: FactFeatures
    figures: tuple[Tensor, ...]  # the evidence, each [questions, facts], whatever is visible
    turns: Tensor  # [questions, length, facts]: how far the answer has come in each (engines/saying.py)
    read: Read

    def seeing(self, questions: Sequence[Question]) -> Known:
        """The same questions, with other candidates."""
        return replace(self, problem=Problem(self.problem.facts, tuple(questions)))

    @property
    def evidence(self) -> tuple[Tensor, ...]:
        """As the prior takes it."""
        return (*self.figures, visible_facts(self.problem))


@torch.no_grad()
def read_problem(
    model: Any, tokenizer: Any, config: EncoderConfig, meaning: Meaning, scorer: Scorer, problem: Problem
) -> Known:
    """One forward of the plain model over the facts' sentences, and one over the questions with their answers."""
    features = read_features(model, tokenizer, problem.facts, config.layers, config.late_layer)
    *figures, _ = evidence_tensors(problem, scorer, meaning)
    read = read_answers(model, tokenizer, problem, config.layers[0])
    return Known(problem, _halved(features), tuple(figures), _turns(read.answers.ids, features), read)


@torch.no_grad()
def read_answers(model: Any, tokenizer: Any, problem: Problem, first: int) -> Read:
    """`first`: the first layer with facts."""
    ids, answers = lay_out(problem, tokenizer)
    before = answers.before
    layers = spec_for(model).layers
    entered: list[Tensor] = []
    tuples: list[bool] = []
    hooks = [
        layers[first].register_forward_pre_hook(
            lambda module, args, kwargs: entered.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        ),
        layers[first].register_forward_hook(
            lambda module, args, output: tuples.append(isinstance(output, tuple))
        ),
    ]
    try:
        out = model.base_model(
            input_ids=ids, attention_mask=answers.mask, position_ids=positions(answers.mask), use_cache=True
        )
    finally:
        for hook in hooks:
            hook.remove()
    cache = out.past_key_values.layers
    return Read(
        answers,
        Trunk(first, entered[0][:, before:].clone(), tuples[0]),
        {at: cache[at].keys[:, :, :before].half() for at in range(first, len(layers))},
        {at: cache[at].values[:, :, :before].half() for at in range(first, len(layers))},
        out.last_hidden_state[:, before:].clone(),
    )


def answer_states(model: Any, read: Read) -> Tensor:
    """Last hidden states over the answers' tokens; within `inject`, with facts."""
    from transformers import DynamicCache

    answers, cache = read.answers, DynamicCache()
    for layer in range(len(spec_for(model).layers)):
        at = max(layer, read.trunk.layer)  # those below are skipped; their cache only has to be as long
        cache.update(read.keys[at].float(), read.values[at].float(), layer)
    with from_trunk(model, read.trunk):
        states: Tensor = model.base_model(
            input_ids=answers.ids,
            attention_mask=answers.mask,
            position_ids=positions(answers.mask)[:, answers.before :],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
    return states


def _turns(ids: Tensor, features: FactFeatures) -> Tensor:
    """Rows begin with a token of the prompt: the answer is what follows."""
    said: list[list[int]] = [[] for _ in range(int(features.owner.max()) + 1)]
    for fact, token in zip(features.owner.tolist(), features.token_ids.tolist(), strict=True):
        said[fact] += [token] if token >= 0 else []
    return torch.tensor([turns_along(row[1:], said) for row in ids.tolist()])


def _halved(features: FactFeatures) -> FactFeatures:
    """Normalised, as the encoder takes them anyhow: so they fit."""
    return replace(
        features,
        context=normalised(features.context).half(),
        subject=normalised(features.subject).half(),
        embedding=normalised(features.embedding).half(),
        late=normalised(features.late).half(),
    )
