"""Rewiring (after 2510.14853): routing that lowers the loss of a question's own context answers it better.

Letters of shapes: L MoE layers, E experts, T tokens of the context but the first.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.reproduction.arm import Arm, uniform_control, uniform_controls
from polyglyph.analysis.reproduction.laboratory import Laboratory
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.questions import Question
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.contract.plan import PHASES, Plan

if TYPE_CHECKING:
    from polyglyph.analysis.identification.identified import Identified
    from polyglyph.analysis.identification.rewiring.context import Context
    from polyglyph.analysis.reproduction.answering import Answer

PAPER = Paper(
    name="rewiring",
    arxiv="2510.14853",
    method="rewire",
    claim="A vector for each question that is chosen by the loss of its own context lowers that loss, and raises the "
    "accuracy of the answers; the same vector dealt to random experts does not.",
)
GAIN = Threshold(
    name="gain", words="gain over no steering, of right answers", bound="above", limit=0.0, judges_interval=True
)
OVER_RANDOM = Threshold(
    name="over_random",
    words="gain over the vectors dealt to random experts of the same layers, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
THRESHOLDS = (GAIN, OVER_RANDOM)
LOWERED = Threshold(
    name="lowered",
    words="nats per token by which the loss of the context's held-out half falls",
    bound="above",
    limit=0.0,
    judges_interval=True,
)
LOWERED_OVER_RANDOM = Threshold(
    name="lowered_over_random",
    words="what more it falls than with the vectors dealt to random experts of the same layers",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
NUM_QUESTIONS = 60
BUDGET, PER_ROUND = 37, 12
"""Requests per question: the unsteered one and three rounds."""
SET = "away"


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Rewire questions away from home, each for itself, and ask them."""
    asked = _spread(laboratory.questions.judged("cross", is_thinking=True), NUM_QUESTIONS)
    found = [await _rewired(laboratory, question) for question in asked]
    measured = Measured({SET: asked}, await _arms(laboratory, asked, found), laboratory.seed)
    method_I, random_I = measured.right("rewire", SET), measured.random("uniform", SET)
    over = measured.over(method_I, random_I, SET)
    lowered = await _lowered(laboratory, asked, found)
    return Reproduced(
        paper=PAPER,
        parts=[
            Part(
                name="questions away from home, thinking",
                thresholds=THRESHOLDS,
                figures={"gain": measured.gain("rewire", SET), "over_random": over},
                over_random=over,
            ),
            lowered,
        ],
        arms={SET: measured.to_json()},
        found={
            "rewired": {
                "questions": len(asked),
                "with_a_plan": sum(bool(each.edits) for each in found),
                "requests_per_question": BUDGET,
                **found[0].parameters,
            }
        },
        notes=[
            "The context is the question itself: its first half chooses the vector, its second half is held out.",
            "This model was taught to answer and not to write questions: the loss of a question says little to it.",
            "A question for which no vector helped is asked without one.",
        ],
    )


async def _rewired(laboratory: Laboratory, question: Question) -> "Identified":
    from polyglyph.analysis.identification.rewiring.rewire import Options, rewire

    options = Options(budget=BUDGET, per_round=PER_ROUND, concurrency=laboratory.concurrency, seed=laboratory.seed)
    found = await rewire(laboratory.client, _context(question), options)
    laboratory.answering.count(laboratory.answering.num_asked + int(found.statistics["num_requests"]))
    return found


async def _lowered(laboratory: Laboratory, asked: Sequence[Question], found: "Sequence[Identified]") -> Part:
    """Compare the contexts' losses with those under the dealt vectors."""
    own = np.array([_lowered_by(each, "held_out") for each in found])
    random = np.array(
        [await _lowered_by_random(laboratory, *pair) for pair in zip(asked, found, strict=True)], dtype=np.float64
    )
    bootstrap = Bootstrap([question.item.entity for question in asked], seed=laboratory.seed)
    over = bootstrap.mean(own - random)
    return Part(
        name="loss of the questions",
        thresholds=(LOWERED, LOWERED_OVER_RANDOM),
        figures={"lowered": bootstrap.mean(own), "lowered_over_random": over},
        over_random=over,
        beside={
            "of the half that was looked at": bootstrap.mean([_lowered_by(each, "chosen_on") for each in found]),
            "held-out half, dealt vectors": bootstrap.mean(random),
        },
    )


async def _lowered_by_random(laboratory: Laboratory, question: Question, found: "Identified") -> float:
    """Give by how much dealt vectors lower the loss of a context's second half, mean of the draws."""
    from polyglyph.analysis.identification.rewiring.scorer import Scorer

    if not found.edits:
        return 0.0
    controls = uniform_controls(found.plan("rewire"), draws=laboratory.draws)
    scorer = Scorer(
        laboratory.client,
        _context(question),
        model=laboratory.answering.model,
        phases=PHASES,
        concurrency=laboratory.concurrency,
    )
    before_T, *after = await scorer.score(
        [np.zeros((found.model.layers, found.model.experts)), *map(_vector, controls)]
    )
    laboratory.answering.count(laboratory.answering.num_asked + scorer.num_asked)
    half = len(before_T) // 2
    return float(np.mean([before_T[half:].mean() - after_T[half:].mean() for after_T in after]))


def _context(question: Question) -> "Context":
    from polyglyph.analysis.identification.rewiring.context import Context

    return Context(body={"messages": question.messages, **question.options})


def _vector(plan: Plan) -> NDArray[np.float64]:
    vector_LE = np.zeros((plan.model.layers, plan.model.experts))
    for edit in plan.edits:
        vector_LE[edit.layer, list(edit.experts)] = edit.value
    return vector_LE


async def _arms(laboratory: Laboratory, asked: Sequence[Question], found: "Sequence[Identified]") -> tuple[Arm, ...]:
    plans = [each.plan("rewire") if each.edits else None for each in found]
    none = Arm(name="none", kind="none", answers={SET: await laboratory.answering.ask(asked)})
    method = Arm(name="rewire", kind="method", answers={SET: await _each(laboratory, asked, plans)})
    random = []
    for draw in range(1, laboratory.draws + 1):
        dealt = [None if plan is None else uniform_control(plan, draw) for plan in plans]
        answers = await _each(laboratory, asked, dealt)
        random.append(Arm(name=f"uniform-{draw}", kind="uniform", draw=draw, answers={SET: answers}))
    return (none, method, *random)


async def _each(laboratory: Laboratory, asked: Sequence[Question], plans: Sequence[Plan | None]) -> "list[Answer]":
    pairs = zip(asked, plans, strict=True)
    answers = await asyncio.gather(*(laboratory.answering.ask([question], plan) for question, plan in pairs))
    return [each[0] for each in answers]


def _lowered_by(found: "Identified", half: str) -> float:
    losses: Any = found.statistics["loss"]
    return -float(losses[half]["change"]["value"])


def _spread(questions: Sequence[Question], count: int) -> tuple[Question, ...]:
    """Take questions from everywhere among them."""
    if len(questions) <= count:
        return tuple(questions)
    places: NDArray[np.int64] = np.linspace(0, len(questions) - 1, count).astype(np.int64)
    return tuple(questions[place] for place in places)
