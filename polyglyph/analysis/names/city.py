"""Cities: a place with its name in six scripts or more."""

from collections.abc import Mapping
from dataclasses import dataclass

from polyglyph.analysis.names.script import Script


@dataclass(frozen=True)
class Form:
    """A city's name in one script.

    Attributes:
        text: NFC.
        distance: Of its romanisation to the Latin name's, 0 to 1: how sure we are that it is the same name.
        num_candidates: How many names in the script there were to choose from.
    """

    text: str
    distance: float
    num_candidates: int


@dataclass(frozen=True)
class City:
    """A city, its facts as codes.

    Attributes:
        geoname_id: GeoNames' number.
        population: People.
        country: ISO 3166 code.
        zone: IANA time zone.
        home: Script of the country's likeliest language; the city has a form in it.
        forms: By script, in the order of `SCRIPTS`.
    """

    geoname_id: int
    population: int
    country: str
    zone: str
    home: Script
    forms: Mapping[Script, Form]

    @property
    def name(self) -> str:
        """The Latin name."""
        return self.forms["Latn"].text

    @property
    def scripts(self) -> tuple[Script, ...]:
        """The scripts it has a name in."""
        return tuple(self.forms)

    def written(self, script: Script) -> str:
        """Give the name in a script it has one in."""
        return self.forms[script].text
