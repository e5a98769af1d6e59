"""Rewiring (after 2510.14853): routing that lowers the loss of a question's own context answers it better."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.reproduction.arm import Arm, uniform_control
from polyglyph.analysis.reproduction.laboratory import Laboratory
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.questions import Question
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from polyglyph.analysis.identification.identified import Identified
    from polyglyph.analysis.reproduction.answering import Answer

PAPER = Paper(
    name="rewiring",
    arxiv="2510.14853",
    method="rewire",
    claim="A vector for each question that lowers the loss of its own context raises the accuracy of its answers; the "
    "same vector dealt to random experts does not.",
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
    bootstrap = Bootstrap([question.item.entity for question in asked], seed=laboratory.seed)
    losses = {half: bootstrap.mean([_loss(each, half) for each in found]) for half in ("chosen_on", "held_out")}
    return Reproduced(
        paper=PAPER,
        parts=[
            Part(
                name="questions away from home, thinking",
                thresholds=THRESHOLDS,
                figures={"gain": measured.gain("rewire", SET), "over_random": over},
                over_random=over,
                beside={
                    "change of the loss that was looked at, nats per token": losses["chosen_on"],
                    "change of the held-out loss, nats per token": losses["held_out"],
                },
            )
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
    from polyglyph.analysis.identification.rewiring.context import Context
    from polyglyph.analysis.identification.rewiring.rewire import Options, rewire

    options = Options(budget=BUDGET, per_round=PER_ROUND, concurrency=laboratory.concurrency, seed=laboratory.seed)
    context = Context(body={"messages": question.messages, **question.options})
    return await rewire(laboratory.client, context, options)


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


def _loss(found: "Identified", half: str) -> float:
    losses: Any = found.statistics["loss"]
    return float(losses[half]["change"]["value"])


def _spread(questions: Sequence[Question], count: int) -> tuple[Question, ...]:
    """Take questions from everywhere among them."""
    if len(questions) <= count:
        return tuple(questions)
    places: NDArray[np.int64] = np.linspace(0, len(questions) - 1, count).astype(np.int64)
    return tuple(questions[place] for place in places)
