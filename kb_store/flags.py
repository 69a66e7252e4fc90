"""Texts of facts that look as if they were meant for the model, or for nobody's eyes.

A fact becomes part of what the model sees. These are signs, not proofs: what they catch waits for a person, and what
they miss is a fact like any other. `make bench-flags` says how many of each.
"""

from __future__ import annotations

import re
import unicodedata

from kb_store.model import Content
from kb_store.reviews import Flag

# Characters that show nothing by themselves, besides those of category Cf (Unicode's Default_Ignorable_Code_Point).
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
# Joins letters of some scripts, and emoji: part of ordinary text.
_ORDINARY_FORMAT = frozenset("\u200c\u200d\u00ad")
# So is one of these behind what it chooses a form of: symbols as text or emoji, symbols and punctuation in another
# shape, ideographs, Mongolian, Myanmar and Phags-pa letters; and the filler of a Korean syllable that has no vowel.
# More of them, or behind anything else, can spell a text that nobody sees.
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_OF_SYMBOLS = frozenset("\ufe00\ufe01\ufe0e\ufe0f")
_CHOSEN = re.compile(
    f"[{_HAN}][\ufe00-\ufe02\U000e0100-\U000e011f]|[\u1820-\u18aa][\u180b-\u180d\u180f]|[#*0-9\u2139][\ufe0e\ufe0f]"
    "|[0\u1000-\u109f\ua840-\ua873\uaa60-\uaa7f]\ufe00|[\u1100-\u115e\ua960-\ua97c]\u1160"
)
# Keeps a mark from the letter or mark before it, in pointed Hebrew and for sorting. Anywhere else it only hides.
_KEEPS_APART = "\u034f"

_VERBS = "ignore|disregard|forget|override|bypass|overlook|do not follow|don't follow|stop following"
_WHAT = "instructions?|prompts?|rules|directions|guidelines|guardrails|commands?|polic(?:y|ies)"
_SIGNS = (
    # Somebody tells the model to leave what it was told.
    rf"\b(?:{_VERBS})\b.{{0,40}}\b(?:{_WHAT})\b",
    r"\b(?:ignore|disregard|forget) (?:all |everything |anything |what )?(?:of )?(?:the )?"
    r"(?:above|previous|prior|preceding|earlier|you (?:were|have been) told)\b",
    r"\bignorier\w*\b.{0,40}\b(?:anweisung|regel|vorgabe|befehl)\w*",
    r"\bignore[zr]?\b.{0,40}\b(?:consignes|instructions|règles)\b",
    r"\bignor[ae]\w*\b.{0,40}\b(?:instrucciones|reglas|istruzioni|regole)\b",
    # Somebody gives it a role, or asks for what is secret.
    r"\byou (?:must|will|shall) (?:now|always|never|only|from now on)\b",
    r"\byou are (?:now|from now on) (?:an?|the|in|no longer|free|dan)\b",
    r"\bfrom now on,? (?:you|always|never|answer|respond|reply)\b",
    r"\b(?:pretend|act) (?:to be|as if|as|like) (?:you|(?:an? )?(?:ai|assistant|model|system|admin))\b",
    r"\b(?:reveal|print|show|repeat|leak|output|tell me) (?:me )?(?:your|the) (?:system |hidden |secret )?"
    r"(?:prompt|instructions)\b",
    r"\b(?:system|developer|hidden) (?:prompt|message|instruction)s?\b.{0,20}[:=]",
    r"\b(?:jailbreak|prompt injection|do anything now)\b",
    # Somebody says how to answer.
    r"\b(?:always |only |must |please |just )?(?:answer|respond|reply|say|output) (?:only )?(?:with|that|as follows)\b"
    r".{0,60}(?:\b(?:regardless|no matter|whatever|instead|always|every (?:question|prompt|query))\b)",
    r"\b(?:regardless of|no matter what|whatever) (?:the |you are |is )?(?:question|asked|prompt|query|user)\b",
    r"\b(?:the |any |every )?user(?:'s)? (?:asks?|says?|wants?|requests?)\b.{0,60}\b(?:answer|respond|reply|say|you)\b",
    # Marks of chat templates.
    r"<\|?/?(?:im_start|im_end|system|assistant|user|endoftext|eot_id|start_header_id|end_header_id|begin_of_text)\|?>",
    r"\[/?(?:INST|SYS)\]|<</?SYS>>|<(?:start|end)_of_turn>|</?s>",
    r"(?:^|\n|[.!?] )#{2,} ?(?:instruction|system|response|assistant|user)\b",
    r"(?:^|[\n.!?] ?)(?:system|assistant) ?: ",
)
# Every sign has one of these in it: most texts have none, and are done with at once.
_TRIGGERS = (
    *(
        "ignor",
        "disregard",
        "forget",
        "overrid",
        "bypass",
        "overlook",
        "follow",
        "you",
        "from now",
        "pretend",
        "act ",
    ),
    *(
        "reveal",
        "print",
        "show",
        "repeat",
        "leak",
        "output",
        "tell me",
        "prompt",
        "message",
        "instruction",
        "jailbreak",
    ),
    *(
        "do anything",
        "answer",
        "respond",
        "reply",
        "say",
        "regardless",
        "no matter",
        "whatever",
        "user",
        "<",
        "[",
    ),
    *("##", "system", "assistant"),
)
_SIGN = re.compile("|".join(f"(?:{sign})" for sign in _SIGNS).casefold())


def text_flags(content: Content) -> tuple[Flag, ...]:
    """What the texts of a fact alone give away."""
    texts = (content.subject, content.relation, content.object, *content.aliases)
    found = []
    if any(map(instruction_like, texts)):
        found.append(Flag.INSTRUCTION_LIKE)
    if any(map(hides_text, texts)):
        found.append(Flag.HIDDEN_TEXT)
    return tuple(found)


def instruction_like(text: str) -> bool:
    """Whether a text speaks to a model. Letters that only look different, and hidden ones, do not help it."""
    plain = _plain(text).casefold()
    return any(trigger in plain for trigger in _TRIGGERS) and _SIGN.search(plain) is not None


def hides_text(text: str) -> bool:
    """Whether a text has characters that are not seen, or change the order in which it is read."""
    if text.isascii():
        return False
    return any(
        _unseen(character) and character not in _ORDINARY_FORMAT and not _needed(before, character, after)
        for before, character, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
    )


def _unseen(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or _UNSEEN.match(character) is not None


def _needed(before: str, unseen: str, after: str) -> bool:
    """Whether its neighbours look or are read as they do because of it."""
    if unseen == _KEEPS_APART:
        return _category(before) in ("L", "M") and _category(after) == "M"
    if unseen in _OF_SYMBOLS and _category(before) in ("S", "P"):
        return True
    return _CHOSEN.fullmatch(before + unseen) is not None


def _category(character: str) -> str:
    """Letter, mark, punctuation, symbol ...; of what is seen."""
    return "" if _unseen(character) else unicodedata.category(character)[0]


def _plain(text: str) -> str:
    if text.isascii():
        return text
    seen = "".join(character for character in text if not _unseen(character))
    return unicodedata.normalize("NFKC", seen).replace("\u2019", "'")
