"""Super experts (2507.23279): few experts have huge outputs, and a model without them falls apart.

Letters of shapes: L MoE layers, E experts.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.reproduction.laboratory import Laboratory, Planned, RunName, Sets
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.statistics.figure import Estimate
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from polyglyph.analysis.identification.identified import Identified

PAPER = Paper(
    name="super experts",
    arxiv="2507.23279",
    method="super-experts",
    claim="A few experts have outputs orders of magnitude larger than all others, and pruning them ruins the model "
    "where pruning as many random ones does not.",
)
RATIO = Threshold(
    name="ratio",
    words="largest output of a found expert over the median of all experts'",
    bound="at least",
    limit=10.0,
    source="ours",
)
LOST_OVER_RANDOM = Threshold(
    name="over_random",
    words="what more of the right answers is gone than with as many matched random experts, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
SIZE_TEXTS = 400
"""Sequences whose tokens the experts' outputs are measured on; a few thousand tokens."""


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Measure outputs offline, and ban what is found."""
    found = await _identified(laboratory)
    sizes = Part(name="found", thresholds=(RATIO,), figures={"ratio": _ratio(found)}, note=_note(found))
    if not found.chosen:
        return Reproduced(paper=PAPER, parts=[sizes], found=_found_json(found), notes=found.notes)
    questions = laboratory.questions
    sets: Sets = {
        "everything": (
            *questions.judged("home"),
            *questions.judged("arithmetic"),
            *questions.judged("context"),
            *questions.judged("cross", is_thinking=True),
        )
    }
    plan = _plan(found)
    controls = laboratory.controls(plan, found.frequencies_LE, kinds=("matched",))
    measured = await laboratory.measure(sets, [Planned("super experts", "method", plan), *controls])
    return Reproduced(
        paper=PAPER,
        parts=[sizes, part_of(measured)],
        arms={"pruned": measured.to_json()},
        found=_found_json(found),
        notes=[
            *found.notes,
            "Of 96 experts the 99.5th percentile leaves one or none, however alike they are: the ratio is what tells.",
        ],
    )


def part_of(measured: Measured) -> Part:
    """Judge what pruning costs."""
    method_I, matched_I = measured.right("super experts", "everything"), measured.random("matched", "everything")
    over = measured.lost_over(method_I, matched_I, "everything")
    return Part(
        name="pruned",
        thresholds=(LOST_OVER_RANDOM,),
        figures={"over_random": over},
        over_random=over,
        beside={
            "gone without them": measured.lost(method_I, "everything"),
            "gone without matched random experts": measured.lost(matched_I, "everything"),
        },
    )


async def _identified(laboratory: Laboratory) -> "Identified":
    from polyglyph.analysis.identification.super_experts import identify
    from polyglyph.analysis.offline.examples import Example

    texts = []
    names: tuple[RunName, ...] = ("tasks", "thinking")
    for name in names:
        traces = [each.trace for each in await laboratory.run(name)]
        step = max(1, len(traces) // (SIZE_TEXTS // 2))
        texts += [
            Example(tuple(trace.token_ids.tolist()), len(trace.token_ids), trace.request_id) for trace in traces[::step]
        ]
    return identify(laboratory.offline(), texts)


def _ratio(found: "Identified") -> Estimate:
    """Give how far the found experts, or the largest one where none was found, stand above the median."""
    scores = found.table["score"].drop_nulls().to_numpy()
    # Chosen rows stand first, and the largest first among them.
    value = float(scores[0] / np.median(scores))
    # A largest value has no interval: the figure is of the texts that were measured.
    return Estimate(value, (value, value))


def _note(found: "Identified") -> str:
    return f"{len(found.chosen)} found" if found.chosen else "none found; the ratio is of the largest output"


def _found_json(found: "Identified") -> dict[str, Any]:
    return {"super experts": {"experts": list(found.chosen), **found.parameters, **found.statistics}}


def _plan(found: "Identified") -> Plan:
    mask_LE = np.zeros((found.model.layers, found.model.experts), dtype=np.int64)
    for layer, expert in found.chosen:
        mask_LE[layer, expert] = 1
    edits = Editing(op=Operation.BAN).edits(mask_LE)
    return Plan.model_validate(
        {"schema": "polyglyph.plan/1", "name": "super-experts", "model": found.binding, "edits": edits}
    )
