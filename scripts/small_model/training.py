"""Trains the small model: next-token loss on packed documents, checkpointed, so that it can end and go on."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from editors.kv.phrases import load
from editors.kv.storage import write_tensors, write_text
from engines.models import quiet
from scripts.small_model.sizes import Size
from scripts.small_model.text import SmallText
from scripts.small_model.vocabulary import train_tokenizer
from service.encoders.training import real_relations

_CONTEXT = 512  # positions
_ROTARY_SHARE = 0.25  # of a head's dimensions, as in Pythia
_WEIGHT_DECAY = 0.1
_CLIP = 1.0
_MOMENTS = ("exp_avg", "exp_avg_sq")  # what the optimiser remembers of a parameter
_RECORD = "small_model.json"
_CHECKPOINT, _SETTINGS = "checkpoint.safetensors", "settings.json"

Note = Callable[[int, float], None]  # step, loss


class OtherRun(RuntimeError):
    """The folder holds a model of another size or seed."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What came out. `seconds` adds up over interruptions."""

    folder: Path
    losses: tuple[float, ...]
    seconds: float
    parameters: int


def train_small_model(
    folder: Path, size: Size, seed: int, note: Note = lambda step, loss: None
) -> TrainedModel:
    """Trains into `folder`, or goes on with what `folder/run` holds; a finished model is taken as it is.

    OtherRun when the folder belongs to another size or seed.
    """
    quiet()
    settings = {**asdict(size), "seed": seed}
    run = folder / "run"
    run.mkdir(parents=True, exist_ok=True)
    if _settings_of(run, settings) != settings:
        raise OtherRun(f"{folder} holds another run: give another folder, or remove it")
    text = SmallText(load(), real_relations())
    tokenizer = _tokenizer(run, text, size, seed)
    torch.manual_seed(seed)
    model = new_model(tokenizer, size)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=size.learning_rate, betas=(0.9, 0.95), weight_decay=_WEIGHT_DECAY
    )
    losses, before = _restored(model, optimiser, run / _CHECKPOINT)
    began = time.monotonic()
    model.train()
    for step in range(len(losses), size.steps):
        ids = batch_of(text, tokenizer, size, random.Random(f"small/{seed}/{step}"))
        loss = _step(model, optimiser, ids, size, step)
        losses.append(loss)
        note(step, loss)
        if (step + 1) % size.checkpoint_every == 0 or step + 1 == size.steps:
            seconds = before + time.monotonic() - began
            _keep(model, optimiser, run / _CHECKPOINT, losses, seconds)
            before, began = seconds, time.monotonic()
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    found = TrainedModel(folder, tuple(losses), round(before, 1), parameters)
    record = {"settings": settings, "parameters": parameters, "seconds": found.seconds}
    write_text(folder / _RECORD, json.dumps(record | {"losses": [round(loss, 4) for loss in losses]}) + "\n")
    return found


def new_model(tokenizer: Any, size: Size) -> Any:
    """GPT-NeoX with fresh weights, for this vocabulary."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=size.tied,
        use_parallel_residual=True,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": _ROTARY_SHARE,
        },
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPTNeoXForCausalLM(config)


def batch_of(text: SmallText, tokenizer: Any, size: Size, rng: random.Random) -> Tensor:
    """Documents one after another, cut into rows of `length` tokens and one: [batch, length + 1]."""
    wanted = size.batch * (size.length + 1)
    ids: list[int] = []
    while len(ids) < wanted:
        ids += tokenizer(text.document(rng)).input_ids
    return torch.tensor(ids[:wanted]).view(size.batch, size.length + 1)


def _step(model: Any, optimiser: torch.optim.Optimizer, ids: Tensor, size: Size, step: int) -> float:
    warm = min(1.0, (step + 1) / size.warmup)
    for group in optimiser.param_groups:
        group["lr"] = size.learning_rate * warm * max(0.05, 1.0 - step / size.steps)
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    loss = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimiser.step()
    return float(loss.detach())


def _tokenizer(run: Path, text: SmallText, size: Size, seed: int) -> Any:
    """The run's own; trained when it is begun."""
    from transformers import AutoTokenizer

    folder = run / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        rng = random.Random(f"vocabulary/{seed}")
        documents = (text.document(rng) for _ in range(size.documents))
        train_tokenizer(documents, size.vocabulary).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _settings_of(run: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Of the run in this folder; a run that begins gets these."""
    path = run / _SETTINGS
    if not path.is_file():
        write_text(path, json.dumps(settings) + "\n")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _keep(
    model: Any, optimiser: torch.optim.Optimizer, path: Path, losses: list[float], seconds: float
) -> None:
    """All of one moment in one file."""
    tensors = {"losses": torch.tensor(losses), "seconds": torch.tensor(seconds)}
    for name, parameter in model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for key in _MOMENTS:
            tensors[f"{key}.{name}"] = optimiser.state[parameter][key]
    write_tensors(tensors, path)


def _restored(model: Any, optimiser: torch.optim.Optimizer, path: Path) -> tuple[list[float], float]:
    """Losses and seconds so far; none when nothing was kept."""
    if not path.is_file():
        return [], 0.0
    tensors = load_file(path)
    losses: list[float] = tensors["losses"].tolist()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
            moments = {key: tensors[f"{key}.{name}"] for key in _MOMENTS}
            optimiser.state[parameter] = {"step": torch.tensor(float(len(losses))), **moments}
    return losses, float(tensors["seconds"])
