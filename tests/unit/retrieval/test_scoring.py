"""Which names and relations a text speaks of."""

from __future__ import annotations

from random import Random
from time import process_time
from unicodedata import normalize

import pytest

from kb_store.scoring import CONTAINED, Candidate, Question, relation_cover, subject_cover
from kb_store.words import stem

NAMED = 0.95  # what the encoder's prior takes for named


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("The employer of Anna Keller is", "Anna Keller"),
        ("Anna Keller's employer is", "Anna Keller"),
        ("ANNA KELLER’S employer is", "anna keller"),
        ("zoe muller lives in", "Zoë Müller"),
        ("Zoë Müller lives in", "Zoe Muller"),
        ("Ask O'Neill!", "O’Neill"),
        ("Jean Luc Picard commands", "Jean-Luc Picard"),
        ("When was (Falcon 7) launched?", "Falcon 7"),
        ("J.R.R. Tolkien wrote", "J. R. R. Tolkien"),
        ("JRR Tolkien wrote", "J. R. R. Tolkien"),
        ("東京の人口は", "東京"),
        ("The US capital is", "US"),
        ("C++ was designed by", "C++"),
        ("🙂 means", "🙂"),
        ("What does \u2600\ufe0f mean?", "\u2600"),
        ("What does \u2600 mean?", "\u2600\ufe0f"),
        ("Is Anna Keller\ufe0f here?", "Anna Keller"),
        ("Who owns Nord\u200blicht Werft?", "Nordlicht Werft"),
        ("Who owns Nordlicht Werft?", "Nord\u00adlicht Werft"),
        ("Who makes Coca-Cola?", "Coca-Cola™"),
        ("東京大学はどこ?", "東京 大学"),
        ("バスの会社", "ハ\u3099ス"),
    ],
)
def test_a_whole_name_covers_fully(text: str, subject: str) -> None:
    assert subject_cover(text, subject) == 1.0


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("The Kellers live in", "The Keller"),
        ("Two Falcons fly", "Falcon"),
        ("how many falcons are there?", "Falcon"),
        ("Norwind Shipping sails to", "Norwind Shipping Ltd."),
        ("Beatles albums:", "The Beatles"),
        ("Keller, Anna: employer", "Anna Keller"),
        ("Anna Maria Keller works for", "Anna Keller"),
    ],
)
def test_a_name_in_another_form_still_counts_as_named(text: str, subject: str) -> None:
    assert NAMED <= subject_cover(text, subject) < 1.0


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Anna Kellermann works for", "Anna Keller"),
        ("Anne Keller works for", "Anna Keller"),
        ("Falcon 9 was launched", "Falcon 7"),
        ("Anna Weber and her old friend Paul Keller", "Anna Keller"),
        ("a sun rises over London", "The Sun"),
        ("The reader splits the book in two", "Split"),
        ("tell us about it", "US"),
        ("tell us about it", "It"),
        ("C++ was designed by", "C"),
        ("What does \u2600\ufe0f mean?", "\u2764\ufe0f"),
        ("パパの年齢は?", "ハハ"),
        ("バスの会社", "ハス"),
        ("Port Marel is a town", "New Port Marel"),
        ("", "Anna Keller"),
        ("nothing of the kind", ""),
    ],
)
def test_another_name_does_not_count_as_named(text: str, subject: str) -> None:
    assert subject_cover(text, subject) < NAMED


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Where is Å in Norway?", "Å"),
        ("How big is Ré?", "Ré"),
        ("Who runs ÉS?", "ÉS"),
        ("When did the Zoës play?", "Zoë"),
        ("Who owns Été?", "The Été"),
    ],
)
def test_composed_or_not_a_name_is_the_same(text: str, subject: str) -> None:
    covers = {
        subject_cover(normalize(form, text), normalize(other, subject))
        for form in ("NFC", "NFD")
        for other in ("NFC", "NFD")
    }
    assert len(covers) == 1
    assert covers.pop() >= NAMED


def test_the_share_of_a_name_grows_with_its_telling_words() -> None:
    name = "J. Bartholomew Keller Inc"
    assert subject_cover("Bartholomew Keller", name) > subject_cover("Bartholomew", name)
    assert subject_cover("Bartholomew", name) > subject_cover("J. Inc", name)


def test_aliases_count_like_the_subject() -> None:
    assert subject_cover("The Big Apple never sleeps", "New York City", ["Big Apple"]) == 1.0


def test_a_longer_name_at_the_same_place_takes_it_from_the_shorter() -> None:
    shorter, longer = Candidate("Norwind Shipping", "founder"), Candidate("Norwind Shipping Asia", "founder")
    covers = Question("The founder of Norwind Shipping Asia is").score([shorter, longer])
    assert covers[0].subject <= CONTAINED
    assert covers[1].subject == 1.0


def test_the_shorter_name_standing_alone_takes_it_from_the_longer() -> None:
    shorter, longer = Candidate("Norwind Shipping", "founder"), Candidate("Norwind Shipping Asia", "founder")
    covers = Question("The founder of Norwind Shipping is").score([shorter, longer])
    assert covers[0].subject == 1.0
    assert covers[1].subject <= CONTAINED


def test_both_names_count_where_both_stand() -> None:
    text = "Norwind Shipping founded Norwind Shipping Asia in"
    names = ["Norwind Shipping", "Norwind Shipping Asia"]
    assert [c.subject for c in Question(text).score([Candidate(name, "x") for name in names])] == [1.0, 1.0]


def test_an_article_more_is_no_other_name() -> None:
    covers = Question("The Beatles were").score([Candidate("Beatles", "x"), Candidate("The Beatles", "x")])
    assert [cover.subject for cover in covers] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "relation", "expected"),
    [
        ("The employer of Anna is", "employer", 1.0),
        ("Who employed Anna?", "employer", 1.0),
        ("Who founded Norwind?", "founder", 1.0),
        ("Where is Norwind headquartered?", "headquarters", 1.0),
        ("Its offices are located in", "location", 1.0),
        ("Countries that", "country", 1.0),
        ("In what language do they sing?", "official language", 0.5),
        ("The place of birth of Anna", "placeOfBirth", 1.0),
        ("The place of birth of Anna", "place_of_birth", 1.0),
        ("Anna hails from", "place of birth", 0.0),
        ("", "employer", 0.0),
        ("anything", "", 0.0),
    ],
)
def test_relation_cover(text: str, relation: str, expected: float) -> None:
    assert relation_cover(text, relation) == pytest.approx(expected)


def test_a_compound_counts_in_part() -> None:
    assert 0.0 < relation_cover("The birthplace of Anna is", "place of birth") < 1.0


def test_words_of_the_subject_say_nothing_about_the_relation() -> None:
    text = "Capital One was founded in"
    assert relation_cover(text, "capital", "Capital One") == 0.0
    assert relation_cover("The capital of Capital One", "capital", "Capital One") == 1.0


def test_stems_meet() -> None:
    for family in ("founder founded founding founders", "compose composer composed", "city cities"):
        assert len({stem(word) for word in family.split()}) == 1
    assert len({stem(word) for word in ("river", "rivalry", "mayor", "major")}) == 4


def test_what_is_said_of_a_subject_has_a_pronoun_for_its_name() -> None:
    assert Question("Where did Zoë Keller grow up?").about("Zoe Keller") == ("Where did it grow up?",)
    assert Question("Zoe's boss").about("Marta", ("Zoe",)) == ("its boss",)
    assert Question(" Nobody is named here.").about("Zoe Keller") == ("Nobody is named here.",)
    assert Question("J. R. R. Tolkien’s home (a house):").about("J.R.R. Tolkien") == ("its home (a house):",)
    assert Question("two cafe\u0301s of Zoe\u0308 Keller, 2½ km").about("Zoë Keller") == (
        "two caf\u00e9s of it, 2½ km",
    )
    assert Question("W. N. Park Jr.'s motto:").about("W. N. Park Jr.") == ("its motto:",)
    assert Question("安娜住在哪里").about("安娜") == ("it住在哪里",)
    assert Question("Is it \0 Zoe's?").about("Zoe") == ("Is it   its?",)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("Who heads M̧ajeļ Atoll today?", "M̧ajeļ Atoll", "Who heads it today?"),
        ("Where does Ọ̀ṣun Adébáyọ̀ work?", "Ọ̀ṣun Adébáyọ̀", "Where does it work?"),
        ("In Yoru\u0300ba\u0301, o\u0323\u0300re\u0323\u0301: who is Anna Keller", "Anna Keller", None),
        ("हिन्दी भाषा में राम कुमार की पत्नी कौन है?", "राम कुमार", "हिन्दी भाषा में it की पत्नी कौन है?"),
        ("أين يعمل مُحَمَّد عَلِي اليوم؟", "مُحَمَّد عَلِي", "أين يعمل it اليوم؟"),
        ("ที่ไม่มี", "ไม่", "ที่itมี"),
        (
            "Does ABC™ and 20℃ in ㌔ concern Anna Keller?",
            "Anna Keller",
            "Does ABC™ and 20℃ in ㌔ concern it?",
        ),
    ],
)
def test_letters_with_marks_of_their_own_move_no_pronoun(text: str, name: str, said: str | None) -> None:
    """What stands for a name replaced other words: marks cut words in two, and the count of words went astray."""
    composed = normalize("NFC", text)
    assert Question(text).about(name) == (said or composed.replace(name, "it"),)


def test_sentences_before_the_last_mention_can_be_left_out() -> None:
    text = 'The rain stopped. Zoe Keller smiled. "Later" Zoe Keller, who works for Norwind. Question: why?'
    assert Question(text).about("Zoe Keller") == (
        'The rain stopped. it smiled. "Later" it, who works for Norwind. Question: why?',
        'Later" it, who works for Norwind. Question: why?',
    )


def test_a_text_of_little_but_words_of_names_is_scored_in_bounded_time() -> None:
    """Each of these names took a tenth of a second: the window was gone through anew for each of its words."""
    random = Random(0)
    vocabulary = [f"{one}{other}" for one in "cdefghijkl" for other in "mnopqr"]
    text = " ".join(random.choices(vocabulary, k=10_900))
    names = [f"zz{number} " + " ".join(random.sample(vocabulary, 60)) for number in range(200)]
    question = Question(text)
    began = process_time()
    covers = question.score([Candidate(name, "x") for name in names])
    assert process_time() - began < 6
    assert 0.5 < covers[0].subject < NAMED
    assert question.subject_cover(vocabulary[0]) == 1.0


def test_a_name_repeated_through_a_text_is_scored_in_bounded_time() -> None:
    question = Question("東" * 32_000)
    began = process_time()
    assert question.subject_cover("東" * 255, ["東" * length for length in range(100, 255)]) == 1.0
    assert process_time() - began < 6


@pytest.mark.parametrize("seed", range(3))
def test_the_heaviest_part_of_a_name_is_found(seed: int) -> None:
    """Against every window, one by one."""
    random = Random(seed)
    vocabulary = ["anna", "keller", "7", "norwind", "jo", "asia", "shipping", "of"]
    for _ in range(200):
        name = random.sample(vocabulary[:-1], k=random.randint(2, 5))
        words = random.choices(vocabulary, k=random.randint(1, 30))
        weight = {word: 1.25 if word == "7" else 0.5 + len(word) / 8 for word in name}
        near = [set(words[at : at + len(name) + 2]) for at in range(len(words))]
        best = max(sum(weight[word] for word in name if word in window) for window in near)
        cover = subject_cover(" ".join(words), " ".join(name))
        if best < sum(weight.values()):
            assert cover == pytest.approx(0.9 * best / sum(weight.values()))
        else:
            assert cover >= NAMED
