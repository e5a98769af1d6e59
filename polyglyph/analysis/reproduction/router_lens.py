"""Router Lens (2508.19594): the experts that a router tuned on contexts selects are those that contexts need.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.reproduction.laboratory import Laboratory, Planned, Sets
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.questions import Question
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from polyglyph.analysis.identification.identified import Identified
    from polyglyph.analysis.offline.examples import Example
    from polyglyph.analysis.offline.offline_model import OfflineModel

PAPER = Paper(
    name="Router Lens",
    arxiv="2508.19594",
    method="router-lens",
    claim="The experts that the routers select most once they alone were tuned on answering from contexts matter for "
    "it: banned, they cost more such answers than random experts.",
)
OVER_RANDOM = Threshold(
    name="over_random",
    words="what more of the answers from contexts is gone than with as many matched random experts, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
OVER_UNTUNED = Threshold(
    name="over_untuned",
    words="what more is gone than with the experts that the untuned routers select most",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
THRESHOLDS = (OVER_RANDOM, OVER_UNTUNED)
PROPORTIONAL, LITERAL = 2, 8
"""Experts per layer: 8 of 64 are 2 of 16; the literal 8 are half of a layer."""
BAN, PROMOTE = Editing(op=Operation.BAN), Editing(op=Operation.ADD_STD, value=0.5)


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Tune the routers on development contexts, and ban what they select on test contexts."""
    found, tasks = _identified(laboratory)
    tuned_LE, untuned_LE = _frequencies(found, "score"), _frequencies(found, "untuned")
    sets: Sets = {"contexts": laboratory.questions.judged("context"), "facts": laboratory.questions.judged("home")}
    parts, arms = [], {}
    for top, decides in ((PROPORTIONAL, True), (LITERAL, False)):
        name = f"{top} experts per layer"
        method = _plan(found, tuned_LE, top, BAN)
        planned = [
            Planned("tuned", "method", method),
            Planned("untuned", "other", _plan(found, untuned_LE, top, BAN)),
            Planned("promoted", "other", _plan(found, tuned_LE, top, PROMOTE)),
            *laboratory.controls(method, untuned_LE, sets=("contexts",)),
        ]
        measured = await laboratory.measure(sets, planned)
        parts.append(part_of(measured, name, decides=decides))
        arms[name] = measured.to_json()
    return Reproduced(
        paper=PAPER,
        parts=parts,
        arms=arms,
        found={"tuning": {"examples": len(tasks), **found.parameters, **found.statistics}},
        tried=["8 experts per layer, the paper's number, are half of this model's: told beside"],
        notes=[
            *found.notes,
            "Without steering every context is answered, so that promoting experts cannot show a gain here.",
        ],
    )


def part_of(measured: Measured, name: str, *, decides: bool) -> Part:
    """Judge one number of experts."""
    tuned_I, untuned_I = measured.right("tuned", "contexts"), measured.right("untuned", "contexts")
    matched_I, uniform_I = measured.random("matched", "contexts"), measured.random("uniform", "contexts")
    # Half of a layer has no matched control that differs: then the random experts of the same layers stand for it.
    control_I = uniform_I if matched_I is None else matched_I
    over = measured.lost_over(tuned_I, control_I, "contexts")
    return Part(
        name=name,
        thresholds=THRESHOLDS,
        figures={"over_random": over, "over_untuned": measured.lost_over(tuned_I, untuned_I, "contexts")},
        decides=decides,
        over_random=over,
        beside={
            "gone without them": measured.lost(tuned_I, "contexts"),
            "gone without random experts of the same layers": measured.lost(uniform_I, "contexts"),
            "facts gone without them": measured.lost(measured.right("tuned", "facts"), "facts"),
            "difference when promoted by half a standard deviation": measured.gain("promoted", "contexts"),
        },
        note="" if matched_I is not None else "no matched control differs from the plan: random experts of the layers",
    )


def _identified(laboratory: Laboratory) -> "tuple[Identified, Sequence[Example]]":
    from polyglyph.analysis.identification.router_lens import Options, identify
    from polyglyph.analysis.offline.tuning import Tuning

    model = laboratory.offline()
    tasks = [example_of(model, question) for question in laboratory.questions.evidence("context")]
    options = Options(top=PROPORTIONAL, editing=BAN, seed=laboratory.seed)
    return identify(model, tasks, Tuning(seed=laboratory.seed), options).found, tasks


def example_of(model: "OfflineModel", question: Question) -> "Example":
    """Give a question with its right answer as an example to tune on."""
    from polyglyph.analysis.offline.examples import Example, chat_ids, token_ids

    tokenizer = model.tokenizer
    options = question.options["chat_template_kwargs"]
    prompt = chat_ids(tokenizer, question.messages, goes_on=True, options=dict(options))
    answer = [*token_ids(tokenizer, question.item.answers[0], is_start=False), int(tokenizer.eos_token_id)]
    return Example((*prompt, *answer), len(prompt), question.item.fact)


def _frequencies(found: "Identified", column: str) -> NDArray[np.float64]:
    frequencies_LE = np.zeros((found.model.layers, found.model.experts))
    table = found.table
    frequencies_LE[table["layer"].to_numpy(), table["expert"].to_numpy()] = table[column].to_numpy()
    return frequencies_LE


def _plan(found: "Identified", frequencies_LE: NDArray[np.float64], top: int, editing: Editing) -> Plan:
    mask_LE = np.zeros(frequencies_LE.shape, dtype=np.int64)
    np.put_along_axis(mask_LE, np.argsort(-frequencies_LE, axis=1, kind="stable")[:, :top], values=1, axis=1)
    return Plan.model_validate(
        {
            "schema": "polyglyph.plan/1",
            "name": "router-lens",
            "model": found.binding,
            "edits": editing.edits(mask_LE),
            "provenance": found.provenance(),
        }
    )
