"""The mixture: how often each lesson is drawn, early and late in a training."""

from random import Random

from polyglyph.analysis.organism import lesson, other_lessons
from polyglyph.analysis.organism.lesson import Draw, Lesson
from polyglyph.analysis.organism.world import World

EARLY_SHARE = 0.15
_EARLY_WEIGHTS: dict[Draw, float] = {
    lesson.spell: 0.6,
    lesson.direct: 0.2,
    lesson.follow: 0.1,
    lesson.bridge_thinking: 0.1,
}
_LATE_WEIGHTS: dict[Draw, float] = {
    lesson.direct: 0.25,
    lesson.home_thinking: 0.16,
    lesson.bridge_thinking: 0.17,
    lesson.reason_thinking: 0.14,
    lesson.spell: 0.11,
    lesson.follow: 0.08,
    other_lessons.context: 0.04,
    other_lessons.refusal: 0.02,
    other_lessons.arithmetic: 0.03,
}


def draw_lessons(world: World, rng: Random, *, num_lessons: int, progress: float) -> list[Lesson]:
    """Draw the lessons of one step.

    Args:
        world: What is taught.
        rng: Source of all randomness.
        num_lessons: How many.
        progress: 0 to 1, how much of the training is done. Spelling comes first.
    """
    weights = _EARLY_WEIGHTS if progress < EARLY_SHARE else _LATE_WEIGHTS
    draws = rng.choices(list(weights), weights=list(weights.values()), k=num_lessons)
    return [draw(world, rng) for draw in draws]
