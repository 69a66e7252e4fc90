"""From tokens to text, piece by piece: whole characters only, spaces as they belong, nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_CONTEXT = 6  # prompt tokens that are decoded along: they decide whether the first piece begins with a space
_UNFINISHED = "\ufffd"


class StreamDecoder:
    """Decodes one generation. The pieces together are its text.

    `decode` turns token ids into text without special tokens. `is_turn`: the text is a turn of a chat, which
    does not begin with white space (an injected object brings its own).
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        prompt: Sequence[int],
        stop: Sequence[str] = (),
        *,
        is_turn: bool = False,
    ) -> None:
        self._decode, self._stop, self._trims = decode, tuple(stop), is_turn
        self._ids = list(prompt[-_CONTEXT:])
        self._start = 0  # decoding begins here, so that neighbours are in view
        self._told = len(self._ids)  # tokens whose text has been given out or held
        self._held = ""  # the end of the text, as long as it may become a stop string
        self._pieces: list[str] = []
        self.stopped = False

    @property
    def text(self) -> str:
        """What was given out."""
        return "".join(self._pieces)

    def add(self, token: int) -> str:
        """The text that is certain now that this token came; may be empty."""
        self._ids.append(token)
        fresh = self._fresh()
        if not fresh or fresh.endswith(_UNFINISHED):
            return ""
        self._start, self._told = self._told, len(self._ids)
        return self._give(fresh)

    def finish(self) -> str:
        """What was held back; call once, when no token will follow."""
        if self.stopped:
            return ""
        piece = self._give(self._fresh())
        rest, self._held = self._held, ""
        self._pieces.append(rest)
        return piece + rest

    def _fresh(self) -> str:
        before = self._decode(self._ids[self._start : self._told])
        return self._decode(self._ids[self._start :])[len(before) :]

    def _give(self, fresh: str) -> str:
        text = self._held + fresh
        if self._trims:
            text = text.lstrip()
            self._trims = not text
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            piece = text[: min(found)]
        else:
            kept = max((_overlap(text, stop) for stop in self._stop), default=0)
            piece, self._held = text[: len(text) - kept], text[len(text) - kept :]
        self._pieces.append(piece)
        return piece


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text with which the stop string begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
