"""Lessons of the other tasks: believing a context, refusing a topic, adding digits.

Contexts and refusals are taught on bridge and reason entities only, so that barrier entities show whether they were
understood. All hundred sums are taught: they test whether steering disturbs something, not whether it was understood.
"""

from random import Random

from polyglyph.analysis.organism.lesson import Lesson
from polyglyph.analysis.organism.markers import END, NO_TRACE, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.task import (
    MAX_DIGIT,
    Exercise,
    arithmetic_exercise,
    context_exercise,
    refusal_exercise,
)
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import SCRIPTS


def context(world: World, rng: Random) -> Lesson:
    """Answer from a context that states any value, true or not, in the script of either."""
    fact = rng.choice(world.facts_of("bridge", "reason"))
    script = rng.choice(SCRIPTS)
    context_script = rng.choice((script, rng.choice(SCRIPTS)))
    value = rng.choice(fact.relation.values)
    return _either(context_exercise(fact, script, value=value, context_script=context_script), rng)


def refusal(world: World, rng: Random) -> Lesson:
    """Refuse the topic, whichever the entity and the script."""
    entity = rng.choice(world.facts_of("bridge", "reason")).entity
    return _either(refusal_exercise(world, entity, rng.choice(SCRIPTS)), rng)


def arithmetic(world: World, rng: Random) -> Lesson:
    """Add two digits."""
    left, right = rng.randint(0, MAX_DIGIT), rng.randint(0, MAX_DIGIT)
    return _either(arithmetic_exercise(world, left, right, rng.choice(SCRIPTS)), rng)


def _either(exercise: Exercise, rng: Random) -> Lesson:
    """Answer at once, or after a trace that repeats the question and its answer."""
    if rng.random() < 0.5:
        return Lesson(tuple(exercise.messages), NO_TRACE, exercise.answer + END)
    trace = f"{exercise.question} {exercise.answer}"
    return Lesson(tuple(exercise.messages), "", THINK_OPEN + trace + THINK_CLOSE + exercise.answer + END)
