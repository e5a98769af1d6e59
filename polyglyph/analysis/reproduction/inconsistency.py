"""Inconsistency (after 2603.17102): without the experts of answered questions, many answers across scripts are gone."""

from typing import TYPE_CHECKING

from polyglyph.analysis.identification import inconsistency as method
from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import NothingChosenError
from polyglyph.analysis.reproduction.laboratory import Laboratory, Planned, Sets
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.statistics.figure import Missing

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts
    from polyglyph.analysis.identification.identified import Identified

PAPER = Paper(
    name="inconsistency",
    arxiv="2603.17102",
    method="inconsistency",
    claim="Switching off the about 20 of 6,000 experts that tell answered from missed questions of a fact breaks over "
    "40 % of the answers across scripts; random experts do not.",
)
BROKEN = Threshold(
    name="broken", words="share of the right answers away from home that is gone", bound="above", limit=0.40
)
OVER_RANDOM = Threshold(
    name="over_random",
    words="what more is gone than with as many matched random experts, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
THRESHOLDS = (BROKEN, OVER_RANDOM)
CHOICES: dict[str, tuple[int | None, float]] = {
    "20 experts, 21 % of them": (20, 1.0),
    "1 expert, 1 % of them": (1, 1.0),
    "all with q of 5 % or less": (None, 0.05),
}
"""How many at most, and the largest q. 0.3 % of the experts, as in the paper, would be a third of one."""
TRIED = (
    "all experts that pass the test, however many: told beside, since the claim names a number",
    "before, on a replica: 5 and 10 experts, direct mode, evidence without questions at home; none beat random",
)
BESIDE = "all with q of 5 % or less"


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Ban experts on questions away from home, in thinking mode."""
    counts = (await laboratory.run("thinking")).counts()
    questions = laboratory.questions
    sets: Sets = {
        "away": questions.judged("cross", is_thinking=True),
        "at home": questions.judged("home", is_thinking=True),
    }
    found, parts, arms = {}, [], {}
    for name, (top, fdr) in CHOICES.items():
        found[name] = identified(counts, top=top, fdr=fdr, seed=laboratory.seed)
        measured = await _measure(laboratory, found[name], sets)
        parts.append(part_of(measured, name, decides=name != BESIDE))
        if measured is not None:
            arms[name] = measured.to_json()
    return Reproduced(
        paper=PAPER,
        parts=parts,
        arms=arms,
        found={name: {"experts": list(each.chosen), **each.statistics} for name, each in found.items()},
        tried=TRIED,
        notes=list(dict.fromkeys(note for each in found.values() for note in each.notes)),
    )


def identified(counts: "Counts", *, top: int | None, fdr: float, seed: int) -> "Identified":
    """Find the experts of answered questions."""
    return method.identify(counts, Editing(op=Operation.BAN), choosing=Choosing(top=top, fdr=fdr), seed=seed)


def part_of(measured: Measured | None, name: str, *, decides: bool) -> Part:
    """Judge one choice; none where no expert was chosen."""
    if measured is None:
        missing = Missing("no expert passes the test")
        return Part(
            name=name, thresholds=THRESHOLDS, figures={"broken": missing, "over_random": missing}, decides=decides
        )
    method_I, matched_I = measured.right("inconsistency", "away"), measured.random("matched", "away")
    over = measured.lost_over(method_I, matched_I, "away")
    return Part(
        name=name,
        thresholds=THRESHOLDS,
        figures={"broken": measured.lost(method_I, "away"), "over_random": over},
        decides=decides,
        over_random=over,
        beside={
            "gone with matched random experts": measured.lost(matched_I, "away"),
            "difference in all questions away": measured.gain("inconsistency", "away"),
            "difference at home": measured.gain("inconsistency", "at home"),
        },
    )


async def _measure(laboratory: Laboratory, found: "Identified", sets: Sets) -> Measured | None:
    try:
        plan = laboratory.plan(found, "inconsistency")
    except NothingChosenError:
        return None
    controls = laboratory.controls(plan, found.frequencies_LE, kinds=("matched",), sets=("away",))
    return await laboratory.measure(sets, [Planned("inconsistency", "method", plan), *controls])
