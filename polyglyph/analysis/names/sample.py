"""Samples: barrier questions, equally many of every home script and question script, dealt to two halves by city."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal

from polyglyph.analysis.names.atlas import Atlas, Fact
from polyglyph.analysis.names.question import CityQuestion
from polyglyph.analysis.names.script import SCRIPTS, Script

Half = Literal["development", "test"]

QUESTIONS_PER_PAIR = 100
GUESSABLE_PER_PAIR = 20


@dataclass(frozen=True)
class Sampled:
    """A question of the sample.

    Attributes:
        question: Direct, without a hint.
        half: Of its city.
        is_guessable: Whether the home script nearly gives the answer away; main figures leave these out.
    """

    question: CityQuestion
    half: Half
    is_guessable: bool


def draw_sample(atlas: Atlas, *, per_pair: int = QUESTIONS_PER_PAIR) -> list[Sampled]:
    """Draw a sample of the questions about barrier cities, in all of their scripts.

    Args:
        atlas: What is asked about; its seed draws.
        per_pair: Questions of each half, home script and question script, where there are enough.

    Returns:
        Sorted by half, home script and question script; of guessable ones `GUESSABLE_PER_PAIR` at most.
    """
    halves = _halves(atlas)
    groups: dict[tuple[str, Script, Script, bool], list[Sampled]] = defaultdict(list)
    for fact in atlas.facts_of("barrier"):
        half, is_guessable = halves[fact.place.city.geoname_id], atlas.is_guessable(fact)
        for script in fact.place.city.scripts:
            sampled = Sampled(CityQuestion(fact=fact, script=script), half, is_guessable)
            groups[half, fact.home, script, is_guessable].append(sampled)
    drawn = []
    for key, members in sorted(groups.items(), key=lambda group: group[0]):
        size = min(per_pair, GUESSABLE_PER_PAIR) if key[-1] else per_pair
        drawn += Random(f"sample {atlas.seed} {key}").sample(members, min(size, len(members)))
    return drawn


def _halves(atlas: Atlas) -> dict[int, Half]:
    """Deal the barrier cities of each home script to the halves."""
    dealt: dict[int, Half] = {}
    for script in SCRIPTS:
        members = _ids(fact for fact in atlas.facts_of("barrier") if fact.home == script)
        Random(f"halves {atlas.seed} {script}").shuffle(members)
        middle = len(members) // 2
        dealt |= dict.fromkeys(members[:middle], "development")
        dealt |= dict.fromkeys(members[middle:], "test")
    return dealt


def _ids(facts: Iterable[Fact]) -> list[int]:
    return list(dict.fromkeys(fact.place.city.geoname_id for fact in facts))
