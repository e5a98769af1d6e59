"""PreMoE (2505.17639): half the experts, chosen by TCESS for a task, keep its accuracy where a random half does not.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification import tcess
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.tcess_sums import sum_scores
from polyglyph.analysis.reproduction.arm import Kind
from polyglyph.analysis.reproduction.laboratory import Laboratory, Planned
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.questions import Question
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.labelled_run import LabelledRun
    from polyglyph.analysis.identification.identified import Identified

PAPER = Paper(
    name="PreMoE",
    arxiv="2505.17639",
    method="tcess",
    claim="Half of the experts, those of the highest TCESS, keep a task's accuracy; a random half does not.",
)
KEEP = 0.5
KEPT = Threshold(name="kept", words="share of the accuracy without pruning that is kept", bound="at least", limit=0.97)
RANDOM_KEPT = Threshold(name="random_kept", words="the same, random halves on average", bound="below", limit=0.97)
THRESHOLDS = (KEPT, RANDOM_KEPT)
TOGETHER = "all together"


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Prune for each task by itself, and for all of them together."""
    run = await laboratory.run("tasks")
    tasks = tasks_of(laboratory)
    found = {name: identified(run, name, seed=laboratory.seed) for name in [*tasks, TOGETHER]}
    whole = tuple(question for asked in tasks.values() for question in asked)
    measured = {
        name: await laboratory.measure({name: asked}, _planned(laboratory, name, found[name]))
        for name, asked in [*tasks.items(), (TOGETHER, whole)]
    }
    return Reproduced(
        paper=PAPER,
        parts=[part_of(each, name, decides=name != TOGETHER) for name, each in measured.items()],
        arms={name: each.to_json() for name, each in measured.items()},
        found={name: {"kept": kept_by_layer(each), **each.statistics} for name, each in found.items()},
        tried=[
            "all tasks together, one half of the experts for all of them: told beside, since the claim is about a task"
        ],
        notes=[
            "A task's questions of the test half are about entities, or sums, that no expert was chosen on.",
            "What matched random halves and the half that is selected most keep says how much of TCESS is frequency.",
        ],
    )


def tasks_of(laboratory: Laboratory) -> Mapping[str, tuple[Question, ...]]:
    """Give the tasks: facts of each home script, refusals, sums and contexts."""
    questions = laboratory.questions
    facts = {f"facts in {script}": questions.judged("home", script=script) for script in questions.scripts}
    return facts | {
        "refusals": questions.judged("refusal"),
        "sums": questions.judged("arithmetic"),
        "contexts": questions.judged("context"),
    }


def identified(run: "LabelledRun", name: str, *, seed: int) -> "Identified":
    """Find the experts to keep for a task."""
    sums = sum_scores(_traces(run, name), model=run.model)
    return tcess.identify(sums, keep=KEEP, seed=seed, evidence_sha256=run.digest)


def part_of(measured: Measured, name: str, *, decides: bool) -> Part:
    """Judge one task."""
    method_I, uniform_I = measured.right("tcess", name), measured.random("uniform", name)
    matched_I, often_I = measured.random("matched", name), measured.right("most selected", name)
    by_matched = {"kept by matched random halves": measured.kept(matched_I, name)} if decides else {}
    return Part(
        name=name,
        thresholds=THRESHOLDS,
        figures={"kept": measured.kept(method_I, name), "random_kept": measured.kept(uniform_I, name)},
        decides=decides,
        over_random=measured.over(method_I, matched_I if decides else uniform_I, name),
        beside=by_matched | {"kept by the half that is selected most": measured.kept(often_I, name)},
    )


def kept_by_layer(found: "Identified") -> list[list[int]]:
    """Give the kept experts of each layer."""
    by_layer: list[list[int]] = [[] for _ in range(found.model.layers)]
    for layer, expert in sorted(found.chosen):
        by_layer[layer].append(expert)
    return by_layer


def _planned(laboratory: Laboratory, name: str, found: "Identified") -> list[Planned]:
    plan = laboratory.plan(found, "tcess")
    frequencies_LE = found.frequencies_LE
    assert frequencies_LE is not None
    edits = Editing(op=Operation.BAN).edits(~_most(frequencies_LE, len(kept_by_layer(found)[0])))
    often = Plan.model_validate(
        {"schema": "polyglyph.plan/1", "name": "most-selected", "model": plan.model, "edits": edits}
    )
    kinds: tuple[Kind, ...] = ("uniform",) if name == TOGETHER else ("matched", "uniform")
    controls = laboratory.controls(plan, frequencies_LE, kinds=kinds)
    return [Planned("tcess", "method", plan), Planned("most selected", "other", often), *controls]


def _most(frequencies_LE: NDArray[np.float64], count: int) -> NDArray[Any]:
    mask_LE = np.zeros(frequencies_LE.shape, dtype=bool)
    best = np.argsort(-frequencies_LE, axis=1, kind="stable")[:, :count]
    np.put_along_axis(mask_LE, best, values=True, axis=1)
    return mask_LE


def _traces(run: "LabelledRun", name: str) -> Iterator[Any]:
    for each in run:
        task = {"refusal": "refusals", "arithmetic": "sums", "context": "contexts"}.get(each.labels["task"])
        if name in {TOGETHER, task or f"facts in {each.labels['prompt_script']}"}:
            yield each.item, each.trace
