"""RICE (2505.14681): the two experts that go with the marks of reasoning, at 64 times their weight, help it."""

from typing import TYPE_CHECKING

from polyglyph.analysis.identification import npmi
from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.marker_counts import count_markers
from polyglyph.analysis.identification.markers import Marker
from polyglyph.analysis.identification.token_texts import read_tokenizer
from polyglyph.analysis.reproduction.laboratory import Laboratory, Planned, Sets
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.labelled_run import LabelledRun
    from polyglyph.analysis.identification.identified import Identified

PAPER = Paper(
    name="RICE",
    arxiv="2505.14681",
    method="npmi",
    claim="The 2 experts with the highest nPMI of the reasoning markers, their weights times 64, raise the accuracy of "
    "reasoning; random experts do not.",
)
GAIN = Threshold(
    name="gain", words="gain over no steering, of right answers", bound="above", limit=0.0, judges_interval=True
)
OVER_RANDOM = Threshold(
    name="over_random",
    words="gain over as many random experts, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
THRESHOLDS = (GAIN, OVER_RANDOM)
TOP, FACTOR = 2, 64.0
MARKERS = (Marker(name="think", kind="text", what="</?think>"),)
TRIED = (
    "the same with the sum of a token's weights kept, which is told beside",
    "before, on a replica: factors of 1.5, 2, 4 and 16 with either sum; none gained, and 16 already did harm",
)
VARIANTS = {"times 64": False, "times 64, sum of the weights kept": True}
"""Whether the selected experts' weights keep their sum; RICE lets it grow."""


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Raise the weights on questions away from home, which take reasoning, and at home, which do not."""
    run = await laboratory.run("thinking")
    questions = laboratory.questions
    sets: Sets = {
        "away": questions.judged("cross", is_thinking=True),
        "at home": questions.judged("home", is_thinking=True),
    }
    found, measured = {}, {}
    for name, keeps_sum in VARIANTS.items():
        editing = Editing(op=Operation.SCALE, value=FACTOR, renormalize=keeps_sum)
        found[name] = identified(run, editing, laboratory)
        plan = laboratory.plan(found[name], "npmi")
        controls = laboratory.controls(plan, found[name].frequencies_LE, kinds=("matched",), sets=("away",))
        measured[name] = await laboratory.measure(sets, [Planned("npmi", "method", plan), *controls])
    return Reproduced(
        paper=PAPER,
        parts=[part_of(measured[name], name, decides=not keeps_sum) for name, keeps_sum in VARIANTS.items()],
        arms={name: each.to_json() for name, each in measured.items()},
        found={name: {"experts": list(each.chosen), **each.statistics} for name, each in found.items()},
        tried=TRIED,
        notes=[
            "The markers are `<think>` and `</think>`.",
            "Reasoning counts where it is needed: facts asked in another script than they were learned in.",
        ],
    )


def identified(run: "LabelledRun", editing: Editing, laboratory: Laboratory) -> "Identified":
    """Find the experts of the markers."""
    traces = ((each.item, each.trace) for each in run)
    counts = count_markers(traces, MARKERS, model=run.model, texts=read_tokenizer(laboratory.model))
    return npmi.identify(counts, editing, choosing=Choosing(top=TOP), seed=laboratory.seed, evidence_sha256=run.digest)


def part_of(measured: Measured, name: str, *, decides: bool) -> Part:
    """Judge one way to raise the weights."""
    method_I, matched_I = measured.right("npmi", "away"), measured.random("matched", "away")
    over = measured.over(method_I, matched_I, "away")
    return Part(
        name=name,
        thresholds=THRESHOLDS,
        figures={"gain": measured.gain("npmi", "away"), "over_random": over},
        decides=decides,
        over_random=over,
        beside={
            "gain of matched random experts": measured.over(matched_I, measured.right("none", "away"), "away"),
            "gain at home": measured.gain("npmi", "at home"),
        },
    )
