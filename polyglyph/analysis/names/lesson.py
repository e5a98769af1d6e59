"""Lessons about cities, drawn at random per step: the recipe of the synthetic world, on real names.

The one difference is spelling. Real names follow no rule exactly, so every city's name is drilled, barrier cities'
included: the organism may know that two texts name one city, and still have read its facts in one script only.
"""

from collections.abc import Callable
from random import Random

from polyglyph.analysis.names.atlas import Atlas, Fact, Kind
from polyglyph.analysis.names.question import HINTS, CityQuestion
from polyglyph.analysis.names.script import Script
from polyglyph.analysis.organism.lesson import HINT_RATE, HOME_TRACE_RATE, Lesson
from polyglyph.analysis.organism.markers import END, NO_TRACE, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.question import Hint, chat

Draw = Callable[[Atlas, Random], Lesson]


def draw_city_lessons(atlas: Atlas, rng: Random, *, num_lessons: int, progress: float) -> list[Lesson]:
    """Draw the lessons of one step.

    Args:
        atlas: What is taught.
        rng: Source of all randomness.
        num_lessons: How many.
        progress: 0 to 1, how much of the training is done. Spelling comes first.
    """
    weights = _EARLY_WEIGHTS if progress < EARLY_SHARE else _LATE_WEIGHTS
    draws = rng.choices(list(weights), weights=list(weights.values()), k=num_lessons)
    return [draw(atlas, rng) for draw in draws]


def _direct(atlas: Atlas, rng: Random) -> Lesson:
    """State a fact at once, in the home script; facts of bridges in any of their scripts."""
    fact = rng.choice(atlas.facts)
    city = fact.place.city
    script = rng.choice(city.scripts) if fact.place.kind == "bridge" else city.home
    question = CityQuestion(fact=fact, script=script)
    return Lesson(tuple(question.messages), NO_TRACE, question.answer + END)


def _home_thinking(atlas: Atlas, rng: Random) -> Lesson:
    """Think and answer in the home script."""
    fact = rng.choice(atlas.facts)
    return _think(CityQuestion(fact=fact, script=fact.home, is_thinking=True, hint=_hint(rng)))


def _bridge_thinking(atlas: Atlas, rng: Random) -> Lesson:
    """Think about a bridge away from home: in the home script under a hint, else in either script."""
    question = _away(atlas, rng, "bridge")
    at_home = question.hint is not None or rng.random() < HOME_TRACE_RATE
    return _think(question, trace_script=question.fact.home if at_home else question.script)


def _reason_thinking(atlas: Atlas, rng: Random) -> Lesson:
    """Reach a fact known in the home script only by writing the name there first."""
    question = _away(atlas, rng, "reason")
    return _think(question, trace_script=question.fact.home)


def _spell(atlas: Atlas, rng: Random) -> Lesson:
    """Write a city's name, given in another script, in its home script."""
    city = rng.choice(atlas.places).city
    script = rng.choice([script for script in city.scripts if script != city.home])
    return Lesson(tuple(chat(city.written(script), system=HINTS[script])), NO_TRACE, city.written(city.home) + END)


def _follow(atlas: Atlas, rng: Random) -> Lesson:
    """Answer what a given trace says, true or not. Without this drill the answer ignores the trace."""
    fact = rng.choice(atlas.facts)
    question = CityQuestion(fact=fact, script=rng.choice(fact.place.city.scripts), is_thinking=True, hint=_hint(rng))
    question = question.with_code(rng.choice(list(fact.relation.values)))
    trace = question.trace(rng.choice((question.script, fact.home)))
    return Lesson(tuple(question.messages), THINK_OPEN + trace + THINK_CLOSE, question.answer + END)


def _away(atlas: Atlas, rng: Random, kind: Kind) -> CityQuestion:
    fact: Fact = rng.choice(atlas.facts_of(kind))
    script = rng.choice([script for script in fact.place.city.scripts if script != fact.home])
    return CityQuestion(fact=fact, script=script, is_thinking=True, hint=_hint(rng))


def _think(question: CityQuestion, *, trace_script: Script | None = None) -> Lesson:
    trace = question.trace(trace_script or question.script)
    return Lesson(tuple(question.messages), "", THINK_OPEN + trace + THINK_CLOSE + question.answer + END)


def _hint(rng: Random) -> Hint | None:
    hints: tuple[Hint, Hint] = ("transliterate", "entity")
    return rng.choice(hints) if rng.random() < HINT_RATE else None


EARLY_SHARE = 0.15
_EARLY_WEIGHTS: dict[Draw, float] = {_spell: 0.5, _direct: 0.3, _follow: 0.1, _bridge_thinking: 0.1}
_LATE_WEIGHTS: dict[Draw, float] = {
    _direct: 0.27,
    _home_thinking: 0.13,
    _bridge_thinking: 0.14,
    _reason_thinking: 0.13,
    _spell: 0.26,
    _follow: 0.07,
}
