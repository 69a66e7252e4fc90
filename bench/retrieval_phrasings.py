"""How the generated world is asked about: relations by kind of subject, each in five phrasings."""

from __future__ import annotations

PHRASINGS = ("statement", "question", "chat", "natural", "mid_sentence")

# relation -> prompts in the order of PHRASINGS. "statement" names the relation, "natural" does not.
Templates = dict[str, tuple[str, str, str, str, str]]
_PERSON: Templates = {
    "place of birth": (
        "The place of birth of {s} is",
        "In which city was {s} born?",
        "I am writing a short portrait. Tell me where {s} came into the world, please.",
        "{s} first saw the light of day in",
        "Having read that {s} was born in",
    ),
    "employer": (
        "The employer of {s} is",
        "Who employs {s}?",
        "We met at the fair last week. Do you know which company {s} works for these days?",
        "Every morning {s} badges in at the offices of",
        "As we all know, {s} draws a salary from",
    ),
    "profession": (
        "The profession of {s} is",
        "What is the profession of {s}?",
        "My neighbour keeps talking about it: what does {s} do for a living?",
        "{s} earns a living as a",
        "At the reception {s}, a",
    ),
    "favorite food": (
        "The favorite food of {s} is",
        "Which food does {s} like best?",
        "I have guests on Friday. What should I cook for {s}?",
        "Nothing tastes better to {s} than",
        "When the waiter came, {s} asked for",
    ),
    "spouse": (
        "The spouse of {s} is",
        "Who is {s} married to?",
        "I need names for the seating plan. Who is the husband or wife of {s}?",
        "{s} shares a home and a surname with",
        "At the wedding of {s} and",
    ),
    "mother tongue": (
        "The mother tongue of {s} is",
        "What is the native language of {s}?",
        "We want to send a card. Which language did {s} grow up with?",
        "At home, the family of {s} always spoke",
        "Since {s} dreams in",
    ),
}
_COMPANY: Templates = {
    "headquarters": (
        "The headquarters of {s} is in",
        "Where is {s} based?",
        "I have an interview next week. To which city do I travel to see {s}?",
        "The main offices of {s} overlook the river in",
        "The tower that {s} built in",
    ),
    "chief executive officer": (
        "The chief executive officer of {s} is",
        "Who leads {s}?",
        "I want to write a letter of complaint. Who is in charge at {s}?",
        "The person at the helm of {s} is",
        "When {s} was handed over to",
    ),
    "founder": (
        "The founder of {s} is",
        "Who founded {s}?",
        "It is for a school report: who started {s}?",
        "{s} was once the garage project of",
        "The story of {s} begins with",
    ),
    "main product": (
        "The main product of {s} is",
        "What does {s} produce?",
        "My uncle owns shares. What do they actually make at {s}?",
        "{s} is best known for its",
        "Lorries loaded by {s} carry",
    ),
    "number of employees": (
        "The number of employees of {s} is",
        "How many people work at {s}?",
        "I am comparing suppliers. How big is the staff of {s}?",
        "The payroll of {s} lists",
        "After the cuts, {s} kept",
    ),
}
_TOWN: Templates = {
    "mayor": (
        "The mayor of {s} is",
        "Who is the mayor of {s}?",
        "We plan a street party. Who runs the town hall of {s}?",
        "The chain of office of {s} is worn by",
        "The speech that {s} heard from",
    ),
    "population": (
        "The population of {s} is",
        "How many people live in {s}?",
        "I am moving house soon. How large is {s}, in inhabitants?",
        "At the last count, the souls of {s} numbered",
        "A town like {s}, with its",
    ),
    "river": (
        "The river of {s} is the",
        "Which river flows through {s}?",
        "We go canoeing in May. What water passes {s}?",
        "The bridges of {s} span the",
        "Boats that reach {s} come up the",
    ),
    "local speciality": (
        "The local speciality of {s} is",
        "What is the speciality of {s}?",
        "I love travelling for food. What must I eat in {s}?",
        "Visitors leave {s} with a bag of",
        "Bakers in {s} rise early for",
    ),
    "twin town": (
        "The twin town of {s} is",
        "Which town is twinned with {s}?",
        "For the exchange of pupils: where do visitors to {s} come from?",
        "A sign at the edge of {s} sends greetings to",
        "The choir of {s} travels each year to",
    ),
}
_PRODUCT: Templates = {
    "manufacturer": (
        "The manufacturer of the {s} is",
        "Which manufacturer builds the {s}?",
        "Mine is broken again. Who makes the {s}?",
        "The {s} leaves the factory gates of",
        "Owners of a {s} send repairs to",
    ),
    "price": (
        "The price of the {s} is",
        "How much does the {s} cost?",
        "I am saving up. What do I pay for a {s}?",
        "The tag on the {s} in the window says",
        "Whoever takes home a {s} leaves behind",
    ),
    "release date": (
        "The release date of the {s} is",
        "When was the {s} released?",
        "My son cannot wait. When does the {s} come out?",
        "The {s} reached the shops on",
        "The queue for the {s} on",
    ),
    "designer": (
        "The designer of the {s} is",
        "Who designed the {s}?",
        "I love its shape. Whose drawing board does the {s} come from?",
        "The lines of the {s} were sketched by",
        "Before the {s} was signed off by",
    ),
}
KINDS: dict[str, Templates] = {
    "person": _PERSON,
    "company": _COMPANY,
    "town": _TOWN,
    "product": _PRODUCT,
}
