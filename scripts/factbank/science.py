"""Chemical elements, stars and languages.

Sources: mendeleev, ephem, Unicode CLDR (package babel).
"""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import babel.core
import ephem
import ephem.stars

from scripts.factbank.common import Triple, clean
from scripts.factbank.countries import country_name

_ELEMENT_ALIASES = {"Aluminum": ("Aluminium",), "Cesium": ("Caesium",), "Sulfur": ("Sulphur",)}
_SERIES = {"s": "s-block", "p": "p-block", "d": "d-block", "f": "f-block"}
# Years or places that are disputed, or wrong in the source.
_DOUBTFUL_DISCOVERIES = set(
    """Helium Beryllium Oxygen Silicon Platinum Neodymium Francium Protactinium Nobelium Radon
    Rutherfordium Dubnium Bohrium Flerovium Thorium Nihonium Fluorine Samarium Krypton
    Yttrium Vanadium Palladium Strontium Tungsten Iridium Osmium Lanthanum Selenium Cobalt Hafnium Bromine
    Fermium""".split()  # noqa: SIM905
)

# The same star under several spellings: the first is the name that astronomers agreed on.
_STAR_SPELLINGS = {
    "Adhara": ("Adara",),
    "Albireo": ("Albereo",),
    "Alkaid": ("Alcaid",),
    "Fomalhaut": ("Formalhaut",),
    "Eltanin": ("Etamin",),
    "Hadar": ("Agena",),
    "Alpheratz": ("Sirrah",),
    "Gacrux": (),
}
_PRIOR_NAMES = {spelling for spellings in _STAR_SPELLINGS.values() for spelling in spellings}
# Stars whose name another star bears too.
_AMBIGUOUS_STARS = {"Gienah", "Gienah Corvi", "Algenib", "Minkar", "Naos"}
_CONSTELLATION_NAMES = {"Botes": "Boötes", "Bootes": "Boötes"}

_NOT_SPOKEN = re.compile(r"\b(Ancient|Old|Middle|Classical|Medieval|Church|Early|Literary)\b|[(]")
# Whose usual script differs from what CLDR assumes.
_DOUBTFUL_LANGUAGES = {"zdj", "ms", "ku", "tg"}
_SCRIPT_NAMES = {"Simplified Han": "Chinese", "Traditional Han": "Chinese", "Han": "Chinese"}


def element_facts() -> Iterator[Triple]:
    """Symbol, number, place in the periodic table, discovery."""
    spec = importlib.util.find_spec("mendeleev")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("mendeleev")
    database = sqlite3.connect(f"file:{Path(spec.origin).parent / 'elements.db'}?mode=ro", uri=True)
    query = """SELECT name, symbol, atomic_number, period, group_id, block, discovery_year, discovery_location
        FROM elements ORDER BY atomic_number"""
    for name, symbol, number, period, group, block, year, place in database.execute(query):
        values = {
            "element_symbol": symbol,
            "element_number": str(number),
            "element_period": str(period),
            "element_group": str(group or ""),
            "element_block": _SERIES[block],
        }
        if name not in _DOUBTFUL_DISCOVERIES:
            values["element_year"] = str(year or "")
            values["element_country"] = "" if not place or "/" in place else place
        for relation, value in values.items():
            if value:
                yield Triple(relation, name, value, _ELEMENT_ALIASES.get(name, ()))
    database.close()


def star_facts() -> Iterator[Triple]:
    """Constellation of the bright stars, computed from their positions."""
    for name in sorted(ephem.stars.stars):
        if name in _PRIOR_NAMES or name in _AMBIGUOUS_STARS:
            continue
        star = ephem.star(name)
        star.compute("2000/1/1")
        constellation = ephem.constellation(star)[1]
        constellation = _CONSTELLATION_NAMES.get(constellation, constellation)
        yield Triple("star_constellation", name, clean(constellation), _STAR_SPELLINGS.get(name, ()))


def language_facts() -> Iterator[Triple]:
    """Writing system and main country of living languages."""
    english = babel.Locale("en")
    likely = babel.core.get_global("likely_subtags")
    speakers = babel.core.get_global("territory_languages")
    spoken = {tag for languages in speakers.values() for tag in languages}
    # Languages that are written in several scripts somewhere.
    mixed = {tag.split("_")[0] for tag in spoken if "_" in tag}
    for tag, name in sorted(english.languages.items()):
        name = clean(name)
        if tag in _DOUBTFUL_LANGUAGES or tag not in spoken or tag not in likely or _NOT_SPOKEN.search(name):
            continue
        _, script, territory = likely[tag].split("_")[:3]
        script_name = clean(english.scripts.get(script, ""))
        if script_name and tag not in mixed and script not in ("Hans", "Hant", "Jpan", "Kore"):
            yield Triple(
                "language_script", f"{name} language", _SCRIPT_NAMES.get(script_name, script_name), (name,)
            )
        country = country_name(territory)
        if country and tag in speakers.get(territory, {}):
            yield Triple("language_country", f"{name} language", country, (name,))
