"""The relation of a CounterFact record, from the words around its subject: records carry prompts, no relation.

The table was written by reading the prompts; a prompt says what it says, so "{} is in" is a location whether the
object is a city or a continent. Objects and paraphrases play no part. A prompt that is not in it gets its own
telling words for a relation.
"""

from __future__ import annotations

import re
from functools import cache

from kb_store.text import fold_name
from kb_store.words import FUNCTION_WORDS, cut

_TEMPLATES: dict[str, tuple[str, ...]] = {
    "location": (
        "{} is located in",
        "{}, in",
        "{} is in",
        "{} can be found in",
        "{}, located in",
        "{}, which is located in",
        "The location of {} is",
        "{} is within",
        "Where is {}? It is located in",
    ),
    "country": ("{} is located in the country of",),
    "continent": (
        "{} is located in the continent",
        "{} belongs to the continent of",
        "{} is a part of the continent of",
    ),
    "capital": (
        "The capital of {} is",
        "The capital city of {} is",
        "{}, which has the capital",
        "{}, which has the capital city",
        "{}'s capital is",
        "{}'s capital city is",
        "{}'s capital,",
        "{}'s capital city,",
    ),
    "twin city": (
        "{} is a twin city of",
        "What is the twin city of {}? It is",
        "The twin city of {} is",
    ),
    "official language": (
        "The official language of {} is",
        "The law in {} declares the language",
        "In {}, an official language is",
        "In {}, the language spoken is",
        "In {}, they understand",
    ),
    "native language": (
        "The mother tongue of {} is",
        "The native language of {} is",
        "{} is a native speaker of",
        "{}, speaker of",
        "{}, a native",
    ),
    "language": (
        "{} speaks the language",
        "{} spoke the language",
        "{} speaks",
        "The language used by {} is",
        "{} writes in",
        "The language of {} is",
        "The language of {} was",
        "{} was written in",
        "{} is written in",
    ),
    "original language": ("The original language of {} is", "The original language of {} was"),
    "position": (
        "{}, the",
        "{}, who plays the position",
        "{} plays as",
        "Which position does {} play? They play as",
        "{} plays in the position of",
    ),
    "sport": (
        "{} is a professional",
        "{} professionally plays the sport",
        "What sport does {} play? They play",
    ),
    "instrument": (
        "{} plays the instrument",
        "{}, playing the",
        "{}, performing on the",
        "{} performs on the",
        "{} plays the",
    ),
    "genre": (
        "{} plays",
        "{}, who plays",
        "{} performs",
        "What does {} play? They play",
        "The genre played by {} is",
        "{} is known for performing",
    ),
    "manufacturer": ("{} is produced by", "{}, produced by", "{}, a product manufactured by"),
    "creator": (
        "{}, created by",
        "{} is created by",
        "{} was created by",
        "{}, a product created by",
        "{} is a product of",
        "{} was a product of",
        "{}, a product of",
        "{}, by",
    ),
    "developer": (
        "{}, developed by",
        "{} is developed by",
        "{} was developed by",
        "{}, a product developed by",
    ),
    "owner": ("{} is owned by", "{} owner", "{}'s owner"),
    "citizenship": (
        "{} holds a citizenship from",
        "{} has a citizenship from",
        "{}, a citizen of",
        "{}, who is a citizen of",
        "{} is a citizen of",
        "{}, who has a citizenship from",
        "{}, who holds a citizenship from",
    ),
    "place of birth": (
        "{} was born in",
        "{} is native to",
        "{} was native to",
        "{} is originally from",
        "{} was originally from",
        "{} originates from",
        "{} originated from",
    ),
    "place of death": (
        "{} died at",
        "{} died in the city of",
        "{} died in",
        "{}'s life ended in",
        "{} passed away in",
        "{} passed away at",
        "{} expired at",
        "{} lost their life at",
        "{} succumbed at",
    ),
    "work location": (
        "{} was employed in",
        "{} used to work in",
        "{} worked in the city of",
        "{} found employment in",
        "{} worked in",
        "{} took up work in",
    ),
    "employer": (
        "{} works for",
        "{} is employed by",
        "{}, who is employed by",
        "{}, who works for",
        "{}, of",
    ),
    "occupation": (
        "The occupation of {} is",
        "{}'s occupation is",
        "The profession of {} is",
        "{}'s profession is a",
        "{}'s profession is an",
        "{} works as",
        "{}, who works as",
    ),
    "field of work": (
        "{}'s expertise is",
        "The expertise of {} is",
        "{} specializes in",
        "The domain of work of {} is",
        "{}'s domain of work is",
        "The domain of activity of {} is",
        "{}'s domain of activity is",
        "{} works in the field of",
        "{} works in the area of",
        "{}'s area of work is",
    ),
    "office held": (
        "{} is a",
        "{} holds the title of",
        "{}'s position is",
        "{}, who holds the position of",
        "{} holds the position of",
        "{}, whose position is that of",
        "{}, who has the position of",
        "{} has the position of",
    ),
    "religion": (
        "{} follows the religion of",
        "The official religion of {} is",
        "{} is follower of",
        "{} is affiliated with the religion",
    ),
    "headquarters": (
        "The headquarter of {} is located in",
        "The headquarters of {} is in",
        "{} is based in",
        "{}, whose headquarters are in",
        "{}'s headquarters are in",
        "The headquarter of {} is in",
        "{} is headquartered in",
    ),
    "original network": (
        "{} debuted on",
        "{} premieres on",
        "{} was released on",
        "{} was originally aired on",
        "{} is to debut on",
        "{} premiered on",
    ),
    "origin": (
        "{}, that was created in",
        "{}, created in",
        "{} was created in",
        "{} was created in the country of",
        "{} originated in",
        "{}, that originated in",
        "{}, from",
        "{} is from",
        "{} from",
        "{} was from",
        "{}, that was from",
        "{} was formulated in",
        "{}, that was formulated in",
        "{}, formulated in",
        "{} was developed in",
        "{}, that was developed in",
        "{}, developed in",
    ),
    "place of foundation": (
        "{} formed in",
        "{}, that was started in",
        "{} that was founded in",
        "{}, that was formed in",
        "{} was formed in",
        "{} started in",
        "{}, founded in",
        "{} was started in",
        "{} was founded in",
    ),
    "member of": (
        "{} is affiliated with",
        "{} is affiliated with the",
        "{} is a part of the",
        "{} belongs to the organization of",
        "{} is a member of",
    ),
    "named after": (
        "{} is called after",
        "{} was called after",
        "{}, called after",
        "{}, which is called after",
        "{}, which was called after",
        "{} is named after",
        "{} was named after",
        "{}, named after",
        "{}, which is named after",
        "{}, which was named after",
        "{} is named for",
        "{} was named for",
        "{}, named for",
        "{}, which is named for",
        "{}, which was named for",
    ),
    "record label": (
        "{}, released by",
        "{} is represented by record label",
        "{} is represented by music label",
        "{}'s record label is",
        "{}'s record company is",
        "{}, that is represented by",
        "{}, which is represented by",
        "The music label that is representing {} is",
        "The music label representing {} is",
        "{} recorded for",
        "{} label :",
    ),
}
_OTHERWISE = "description"


def template_of(prompt: str, subject: str) -> str:
    """The prompt with its subject taken out; ValueError when the subject is not in it."""
    if subject not in prompt:
        raise ValueError(f"the prompt {prompt!r} does not name its subject {subject!r}")
    return " ".join(prompt.replace(subject, "{}", 1).split())


def relation_of(template: str) -> str:
    """The relation's name: from the table, or the template's telling words."""
    known = _table().get(template)
    if known is not None:
        return known
    words = cut(fold_name(re.sub(r"\{\}", " ", template)))
    telling = [word for word in words if word not in FUNCTION_WORDS]
    return " ".join(telling or words) or _OTHERWISE


def is_known(template: str) -> bool:
    """Whether the table has it."""
    return template in _table()


@cache
def _table() -> dict[str, str]:
    return {template: relation for relation, group in _TEMPLATES.items() for template in group}
