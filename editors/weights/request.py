"""What an editor is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from editors.weights.errors import InvalidEdit
from engines.whole_words import mentions


@dataclass(frozen=True, slots=True)
class EditRequest:
    """After `prompt`, which names `subject`, the model shall say `target`.

    The target follows the prompt after one space. Neither ends or begins with one. `relation`, as in "the
    {relation} of {subject}", is needed where the request is to become a fact, or to be reasoned on.
    """

    prompt: str
    subject: str
    target: str
    relation: str = ""

    def __post_init__(self) -> None:
        for name in ("prompt", "subject", "target"):
            value = getattr(self, name)
            if not value or value != value.strip():
                raise InvalidEdit(name, "must not be empty, nor begin or end with white space")
        if self.subject not in self.prompt:
            raise InvalidEdit("subject", f"{self.subject!r} does not occur in the prompt {self.prompt!r}")

    @property
    def subject_end(self) -> int:
        """Where the subject ends in the prompt, in characters (its first mention)."""
        return mentions(self.subject, self.prompt)[0][1]
