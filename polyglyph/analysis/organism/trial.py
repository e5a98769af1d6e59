"""Trials: what a shift of the routers does to answers, with the controls a claim needs (methods section 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.direction import permuted
from polyglyph.analysis.organism.evaluation import are_right, have_home_traces
from polyglyph.analysis.organism.question import Question, cross_questions, home_questions
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import Script
from polyglyph.analysis.statistics.bootstrap import paired_difference
from polyglyph.analysis.statistics.wilson import Score, score

LAMBDAS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
NUM_RANDOM_DRAWS = 8


@dataclass(frozen=True)
class Halves:
    """The cross-script questions about the barrier entities of one home script, thinking, entities kept whole."""

    development: list[Question]
    held_out: list[Question]


@dataclass(frozen=True)
class Dose:
    """The factor of a direction that answers most development questions right.

    Attributes:
        value: The chosen one, the smallest of equals.
        unsteered: Score without any.
        tried: Score of each.
    """

    value: float
    unsteered: Score
    tried: Mapping[float, Score]

    def to_json(self) -> dict[str, Any]:
        """Give the choice as plain JSON types."""
        return {
            "lambda": self.value,
            "unsteered": self.unsteered.to_json(),
            "rate_by_lambda": {str(value): round(result.rate, 4) for value, result in self.tried.items()},
        }


def halves(world: World, script: Script) -> Halves:
    """Split the barrier entities of a home script into two halves, in the order of the world (which is random)."""
    questions = [q for q in cross_questions(world, is_thinking=True) if q.fact.entity.home == script]
    names = list(dict.fromkeys(question.fact.entity.name for question in questions))
    development = set(names[: len(names) // 2])
    return Halves(
        development=[q for q in questions if q.fact.entity.name in development],
        held_out=[q for q in questions if q.fact.entity.name not in development],
    )


def choose_dose(decoder: Decoder, questions: Sequence[Question], direction_LE: Tensor) -> Dose:
    """Try every dose on the development questions."""
    tried = {value: score(_right(decoder, questions, value * direction_LE)) for value in LAMBDAS}
    best = max(LAMBDAS, key=lambda value: (tried[value].num_right, -value))
    return Dose(best, score(_right(decoder, questions, None)), tried)


def try_shift(
    decoder: Decoder, questions: Sequence[Question], shift_LE: Tensor, rivals: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Compare a shift with no steering, random shifts of the same size, the opposite, rivals and the hint.

    Args:
        decoder: The organism.
        questions: The same for all; entities are resampled as wholes.
        shift_LE: The shift on trial, in standard deviations of each token's router logits, over the prompt.
        rivals: Shifts that ought to do less, by name: the plans of the wrong scripts.

    Returns:
        Plain JSON types: scores with Wilson intervals, paired differences with bootstrap intervals.
    """
    control = _right(decoder, questions, None)
    clusters = [question.fact.entity.name for question in questions]

    def compare(shift: Tensor) -> dict[str, Any]:
        outcomes = _right(decoder, questions, shift)
        difference, interval = paired_difference(outcomes, control, clusters, seed=0)
        bounds = [round(bound, 4) for bound in interval]
        return {**score(outcomes).to_json(), "paired_difference": round(difference, 4), "bootstrap_95": bounds}

    hinted = [question.with_hint() for question in questions]
    return {
        "unsteered": score(control).to_json(),
        "steered": compare(shift_LE),
        "random": [compare(permuted(shift_LE, seed=seed)) for seed in range(NUM_RANDOM_DRAWS)],
        "opposite": compare(-shift_LE),
        "other_plans": {name: compare(rival_LE) for name, rival_LE in rivals.items()},
        "hint": score(_right(decoder, hinted, None)).to_json(),
        "hint_and_steered": score(_right(decoder, hinted, shift_LE)).to_json(),
        "home_traces_unsteered": _home_traces(decoder, questions, None).to_json(),
        "home_traces_steered": _home_traces(decoder, questions, shift_LE).to_json(),
    }


def weigh_costs(decoder: Decoder, world: World, script: Script, shift_LE: Tensor) -> dict[str, Any]:
    """Measure what a shift does to what works without it: questions in their home script, and direct ones."""
    home = home_questions(world, is_thinking=True)
    direct = [q for q in cross_questions(world) if q.fact.entity.home == script]
    own = [q for q in home if q.script == script]
    foreign = [q for q in home if q.script != script]
    return {
        "home_script": score(_right(decoder, own, shift_LE)).to_json(),
        "home_script_of_others": score(_right(decoder, foreign, shift_LE)).to_json(),
        "direct_unsteered": score(_right(decoder, direct, None)).to_json(),
        "direct_steered": score(_right(decoder, direct, shift_LE)).to_json(),
    }


def _right(decoder: Decoder, questions: Sequence[Question], shifts_LE: Tensor | None) -> list[bool]:
    return are_right(questions, decoder.reply(questions, shifts_LE=shifts_LE))


def _home_traces(decoder: Decoder, questions: Sequence[Question], shifts_LE: Tensor | None) -> Score:
    return score(have_home_traces(questions, decoder.reply(questions, shifts_LE=shifts_LE)))
