"""Relations: what is asked of a city, with every possible answer in every script, by ICU."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import icu

from polyglyph.analysis.names.city import City
from polyglyph.analysis.names.script import LANGUAGES, SCRIPTS, Script
from polyglyph.routing.scripts.dominant import dominant_script

RelationName = Literal["country", "zone"]
RELATIONS: tuple[RelationName, ...] = get_args(RelationName)

MIN_BEARERS: dict[RelationName, int] = {"country": 10, "zone": 15}
"""Cities that an answer needs: one that only a few have could not be told from a slip."""

WORDS: dict[RelationName, dict[Script, str]] = {
    "country": {
        "Latn": "country",
        "Cyrl": "страна",
        "Arab": "بلد",
        "Deva": "देश",
        "Beng": "দেশ",
        "Hebr": "מדינה",
        "Geor": "ქვეყანა",
        "Grek": "χώρα",
        "Kana": "クニ",
    },
    "zone": {
        "Latn": "zone",
        "Cyrl": "пояс",
        "Arab": "توقيت",
        "Deva": "समय",
        "Beng": "সময়",
        "Hebr": "זמן",
        "Geor": "დრო",
        "Grek": "ζώνη",
        "Kana": "ジカン",
    },
}
"""The relation's word in a question of the organism's style. Ours; Kana where Japanese would write Kanji."""

Words = Mapping[Script, str]


@dataclass(frozen=True)
class Relation:
    """A property of cities.

    Attributes:
        name: `country`, or `zone`: the city that a time zone is called by.
        values: By code (ISO 3166 or IANA), the answer in every script.
    """

    name: RelationName
    values: Mapping[str, Words]

    def code_of(self, city: City) -> str | None:
        """Give a city's value; None when that is no answer here."""
        code = city.country if self.name == "country" else city.zone
        return code if code in self.values else None


def find_relation(name: RelationName, cities: Iterable[City]) -> Relation:
    """Find the values that enough cities share, and that have a name of their own in every script.

    Returns:
        Values by falling number of cities.
    """
    counts = Counter(city.country if name == "country" else city.zone for city in cities)
    common = [code for code, count in sorted(counts.items(), key=_rarest_last) if count >= MIN_BEARERS[name]]
    return Relation(name=name, values=_without_doubles({code: _write(name, code) for code in common}))


def _rarest_last(entry: tuple[str, int]) -> tuple[int, str]:
    code, count = entry
    return -count, code


def _write(name: RelationName, code: str) -> dict[Script, str]:
    """Write a value in every script that ICU has it in."""
    writer: Callable[[str, Any], str] = _country if name == "country" else _zone
    written = {script: writer(code, icu.Locale(LANGUAGES[script])) for script in SCRIPTS}
    return {script: text for script, text in written.items() if dominant_script(text) == script}


def _country(code: str, language: Any) -> str:
    return str(icu.Locale(f"und_{code}").getDisplayCountry(language))


def _zone(code: str, language: Any) -> str:
    """Give the exemplar city. The pattern finds it under the zone's older names too, `TimeZoneNames` does not."""
    pattern = icu.SimpleDateFormat("VVV", language)
    pattern.setTimeZone(icu.TimeZone.createTimeZone(code))
    return str(pattern.format(0.0))


def _without_doubles(values: Mapping[str, Words]) -> dict[str, Words]:
    """Leave out values that lack a script or that share their text with another one."""
    texts = Counter((script, text) for words in values.values() for script, text in words.items())
    return {
        code: words
        for code, words in values.items()
        if len(words) == len(SCRIPTS) and all(texts[script, text] == 1 for script, text in words.items())
    }
