"""A model with its applied edits: each is checked before, and taken back to the very same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from editors.weights.delta import Change, Delta, TensorChange, change_of, tensor_digest
from editors.weights.errors import DeltaInUse, DeltaMismatch
from editors.weights.hooks import reweighted
from engines.architectures import Layout, ModelSpec, spec_for
from engines.models import model_digest
from engines.prompts import PromptEncoder

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry:
    delta: Delta
    # Per tensor: the deltas whose effect is part of what this one was computed for.
    rests_on: frozenset[str]


class EditableModel:
    """Owns the right to change a model's weights; nobody else may write them. Used by one thread at a time.

    The unedited bytes of every touched tensor are kept. What a tensor holds is always those bytes with the
    applied changes in order, so that a delta taken out of the middle leaves what the others alone would make.
    """

    def __init__(self, model: Any, tokenizer: Any, digest: str | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.spec: ModelSpec = spec_for(model)
        self.prompts = PromptEncoder(tokenizer)
        self.digest = digest or model_digest(model)  # of the unedited model
        self.writes = 0  # that were begun; where it did not change, neither did the weights
        self._entries: list[_Entry] = []
        self._originals: dict[str, Tensor] = {}
        self._remembered: dict[Hashable, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """What is applied, oldest first."""
        return tuple(entry.delta for entry in self._entries)

    @property
    def edited(self) -> bool:
        """Whether anything is."""
        return bool(self._entries)

    def apply(self, delta: Delta, *, combine: bool = False) -> None:
        """Adds the delta. DeltaMismatch, with nothing changed, when it was made for other weights.

        By default the touched tensors must be what the delta was computed on, edits included. With `combine` they
        may also carry edits that the computation did not know of.
        """
        if delta.model_digest != self.digest:
            raise DeltaMismatch(f"made for model {delta.model_digest}, this is {self.digest}")
        if any(entry.delta.digest == delta.digest for entry in self._entries):
            raise DeltaMismatch(f"delta {delta.digest} is applied already")
        rests_on: set[str] = set()
        made: dict[str, Tensor] = {}
        for change in delta.changes:
            under = self._check(change, combine)
            rests_on |= under or set()
            made[change.name] = change.change.added_to(self._parameter(change.name).detach())
            if under is not None and tensor_digest(made[change.name]) != change.after:
                raise DeltaMismatch(f"{change.name} does not become what the delta's digest says")
        kept = {name: self._parameter(name).detach().clone() for name in made if name not in self._originals}
        self._originals |= kept
        try:
            self._write(made)
        except BaseException:
            for name in kept:
                del self._originals[name]
            raise
        self._entries.append(_Entry(delta, frozenset(rests_on)))

    def revert(self, delta: Delta) -> None:
        """Takes the delta out. DeltaInUse when a later one was computed on top of it or it is not applied."""
        found = next((entry for entry in self._entries if entry.delta.digest == delta.digest), None)
        if found is None:
            raise DeltaInUse(f"delta {delta.digest} is not applied")
        for entry in self._entries:
            if delta.digest in entry.rests_on:
                raise DeltaInUse(
                    f"delta {entry.delta.digest} ({entry.delta.method}) was computed on top of {delta.digest}: "
                    "revert it first"
                )
        remaining = [entry for entry in self._entries if entry is not found]
        names = [change.name for change in delta.changes]
        for name in names:
            self._check_untouched(name)
        self._write({name: self._composed(name, remaining) for name in names})
        self._entries = remaining
        self._forget(names)

    def revert_all(self) -> None:
        """Puts the original bytes back, whatever is applied."""
        self._write(self._originals)
        self._entries = []
        self._originals = {}

    @contextmanager
    def applied(self, delta: Delta, *, combine: bool = False) -> Iterator[None]:
        """Within, the delta is applied."""
        self.apply(delta, combine=combine)
        try:
            yield
        finally:
            self.revert(delta)

    def original(self, rows: Tensor | None = None) -> AbstractContextManager[None]:
        """Within, forwards are the unedited model's (only in some rows of the batch, if given); nothing is written."""
        return reweighted(self._maps(self._originals), rows)

    def seen_through(
        self, deltas: Sequence[Delta], rows: Tensor | None = None
    ) -> AbstractContextManager[None]:
        """Within, forwards are as if these deltas were applied on top, in the given rows; nothing is written.

        So edited and unedited model answer side by side, in one batch if wanted.
        """
        weights: dict[str, Tensor] = {}
        for change in itertools.chain.from_iterable(delta.changes for delta in deltas):
            now = weights.get(change.name)
            weights[change.name] = change.change.added_to(
                self._parameter(change.name).detach() if now is None else now
            )
        return reweighted(self._maps(weights), rows)

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned the first time; it must depend on the unedited model and the key only."""
        if key not in self._remembered:
            with self.original():
                self._remembered[key] = make()
        found: T = self._remembered[key]
        return found

    def change_at(self, module: nn.Module, change: Change) -> TensorChange:
        """A linear map's change, given as [out, in], with its name and digests for the weights as they are."""
        name = next(name for name, each in self.model.named_modules() if each is module) + ".weight"
        if self.spec.layout_of(module) is Layout.CONV1D:
            change = change.transposed()
        return change_of(name, self._parameter(name).detach(), change)

    def _check(self, change: TensorChange, combine: bool) -> set[str] | None:
        """The applied deltas that this change rests on; None: none, though there are some, and they are combined."""
        under = {entry.delta.digest for entry in self._entries if change.name in _names(entry.delta.changes)}
        parameter = self._parameter(change.name)
        if tensor_digest(parameter) == change.before:
            return under
        original = self._originals.get(change.name)
        if under and original is not None and tensor_digest(original) == change.before:
            if combine:
                self._check_untouched(change.name)
                return None
            raise DeltaMismatch(
                f"{change.name} carries other edits ({', '.join(sorted(under))}) that this delta was computed "
                "without: revert them, compute it again, or ask to combine them"
            )
        raise DeltaMismatch(f"{change.name} is not the tensor that this delta was computed for")

    def _check_untouched(self, name: str) -> None:
        composed = self._composed(name, self._entries)
        if tensor_digest(composed) != tensor_digest(self._parameter(name)):
            raise DeltaMismatch(f"{name} was changed by somebody else since the last edit")

    def _composed(self, name: str, entries: Sequence[_Entry]) -> Tensor:
        """The original with these entries' changes in order."""
        weight = self._originals[name]
        for change in itertools.chain.from_iterable(entry.delta.changes for entry in entries):
            if change.name == name:
                weight = change.change.added_to(weight)
        return weight

    def _write(self, tensors: dict[str, Tensor]) -> None:
        """All or none."""
        self.writes += 1
        before: dict[str, Tensor] = {}
        try:
            with torch.no_grad():
                for name, tensor in tensors.items():
                    parameter = self._parameter(name)
                    before[name] = parameter.detach().clone()
                    parameter.copy_(tensor)
        except BaseException:
            with torch.no_grad():
                for name, tensor in before.items():
                    self._parameter(name).copy_(tensor)
            raise

    def _forget(self, names: Sequence[str]) -> None:
        """Drops the originals of tensors that nothing touches any more."""
        touched = {name for entry in self._entries for name in _names(entry.delta.changes)}
        for name in names:
            if name not in touched:
                self._originals.pop(name, None)

    def _parameter(self, name: str) -> Tensor:
        try:
            parameter: Tensor = self.model.get_parameter(name)
        except AttributeError as error:
            raise DeltaMismatch(f"this model has no parameter {name}") from error
        return parameter

    def _maps(self, tensors: Mapping[str, Tensor]) -> dict[nn.Module, Tensor]:
        """Stored weights by name as matrices [out, in] by module."""
        found: dict[nn.Module, Tensor] = {}
        for name, tensor in tensors.items():
            module = self.model.get_submodule(name.removesuffix(".weight"))
            found[module] = tensor.T if self.spec.layout_of(module) is Layout.CONV1D else tensor
        return found


def _names(changes: Sequence[TensorChange]) -> set[str]:
    return {change.name for change in changes}
