"""MoTE (2502.11096): without the ten experts of refusing responses most refusals are gone, and nothing else is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from polyglyph.analysis.identification import contrast
from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.sides import Sides
from polyglyph.analysis.reproduction.laboratory import REFUSED, SUMMED, Laboratory, Planned, Sets
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts
    from polyglyph.analysis.identification.identified import Identified

PAPER = Paper(
    name="MoTE (fTRI)",
    arxiv="2502.11096",
    method="contrast",
    claim="Switching off the 10 experts most active where the response refuses removes most refusals; 10 random ones "
    "remove hardly any, and the rest is unharmed.",
)
REMOVED = Threshold(name="removed", words="share of the refusals that is gone", bound="at least", limit=0.52)
RANDOM_REMOVED = Threshold(
    name="random_removed", words="the same, as many random experts on average", bound="below", limit=0.10
)
REST_KEPT = Threshold(
    name="rest_kept",
    words="share of the accuracy in each other task that is kept, the worst of them",
    bound="at least",
    limit=0.97,
    source="ours",
)
THRESHOLDS = (REMOVED, RANDOM_REMOVED, REST_KEPT)

TRIED = (
    "1 expert in place of 10: the same share of this model as 10 are of the paper's",
    "sums in place of refusals: the same contrast, for a task that this model does with few experts",
    "before, on a replica: 3 and 5 experts, and bans in place of weights of 0; no refusal was gone",
)
TOP = 10
PROPORTIONAL = 1
"""10 of the 1,440 experts of the paper's model are 0.7 of the organism's 96."""
OFF = Editing(op=Operation.SCALE, value=0.0, renormalize=True)


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Switch off the experts of refusals; and, as a control of the method itself, those of sums."""
    questions = laboratory.questions
    counts = (await laboratory.run("tasks")).counts()
    sets: Sets = {
        "refusals": questions.judged("refusal"),
        "facts": questions.judged("home"),
        "sums": questions.judged("arithmetic"),
        "contexts": questions.judged("context"),
    }
    asked = {
        "10 experts": ("refusals", REFUSED, TOP),
        "1 expert": ("refusals", REFUSED, PROPORTIONAL),
        "10 experts of sums": ("sums", SUMMED, TOP),
    }
    found, measured = {}, {}
    for name, (task, label, top) in asked.items():
        found[name] = identified(counts, label, top=top, seed=laboratory.seed)
        plan = laboratory.plan(found[name], "contrast")
        controls = laboratory.controls(plan, found[name].frequencies_LE, sets=(task,))
        measured[name] = await laboratory.measure(sets, [Planned("contrast", "method", plan), *controls])
    return Reproduced(
        paper=PAPER,
        parts=[part_of(measured[name], name, asked[name][0], decides=name == "10 experts") for name in asked],
        arms={name: each.to_json() for name, each in measured.items()},
        found={name: {"experts": list(each.chosen), **each.statistics} for name, each in found.items()},
        tried=TRIED,
    )


def identified(counts: "Counts", label: str, *, top: int, seed: int) -> "Identified":
    """Find the experts of a class of responses."""
    return contrast.identify(
        counts, Sides(column="label", first=(label,)), choosing=Choosing(top=top, fdr=1.0), editing=OFF, seed=seed
    )


def part_of(measured: Measured, name: str, task: str, *, decides: bool) -> Part:
    """Judge one choice of experts."""
    method_I = measured.right("contrast", task)
    uniform_I, matched_I = measured.random("uniform", task), measured.random("matched", task)
    rest = {other: measured.kept(measured.right("contrast", other), other) for other in measured.sets if other != task}
    return Part(
        name=name,
        thresholds=THRESHOLDS,
        figures={
            "removed": measured.lost(method_I, task),
            "random_removed": measured.lost(uniform_I, task),
            "rest_kept": worst(rest.values()),
        },
        decides=decides,
        over_random=measured.lost_over(method_I, matched_I, task),
        beside={"removed by matched random experts": measured.lost(matched_I, task)}
        | {f"{other} kept": figure for other, figure in rest.items()},
    )


def worst(figures: Iterable[Figure]) -> Figure:
    """Give the lowest figure, or the first that cannot be computed."""
    lowest: Estimate | None = None
    for figure in figures:
        if not isinstance(figure, Estimate):
            return figure
        lowest = figure if lowest is None else min(lowest, figure, key=lambda each: each.value)
    return lowest or Missing("there is no other task")
