"""Core experts (CEAI, 2410.15438): the routing of a prompt tells whether the model knows the answer.

Letters of shapes: N prompts, A all experts, L MoE layers, E experts.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification import core_experts as method
from polyglyph.analysis.identification.readout import fit_readout
from polyglyph.analysis.identification.sides import Sides
from polyglyph.analysis.reproduction.areas import Areas
from polyglyph.analysis.reproduction.laboratory import Laboratory, RunName
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.search.random_matched import frequency_bins
from polyglyph.analysis.statistics.figure import Estimate

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts
    from polyglyph.analysis.identification.identified import Identified

PAPER = Paper(
    name="CEAI, core experts",
    arxiv="2410.15438",
    method="core-experts",
    claim="A readout of the core experts on the prompt tells questions that the model answers from those it misses, on "
    "held-out entities, better than random experts do.",
)
AREA = Threshold(
    name="area",
    words="area under the ROC curve",
    bound="above",
    limit=0.5,
    source="ours",
    judges_interval=True,
)
OVER_RANDOM = Threshold(
    name="over_random",
    words="area over as many matched random experts, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
THRESHOLDS = (AREA, OVER_RANDOM)
SETTINGS: dict[str, tuple[RunName, RunName, bool]] = {
    "all facts, direct": ("direct", "direct-test", True),
    "facts away from home, direct": ("direct", "direct-test", False),
    "facts away from home, thinking": ("thinking", "thinking-test", False),
}
"""Evidence, what is judged, and whether questions at home are among them."""
RIGHT = Sides(column="right", first=("true",), second=("false",), spans=("prompt",))

TRIED = (
    "before, on a replica: questions under the hint, and known names against names of nobody; both little over random",
)

Array = NDArray[np.float64]


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Find core experts on development facts, and read the prompts of test facts."""
    parts, found = [], {}
    for name, (evidence, judged, at_home) in SETTINGS.items():
        counts = _asked(await laboratory.run(evidence), at_home=at_home)
        test = _asked(await laboratory.run(judged), at_home=at_home)
        core = method.identify(counts, RIGHT, seed=laboratory.seed)
        parts.append(part_of(name, core, counts, test, laboratory))
        found[name] = {"experts": list(core.chosen), **core.statistics}
    return Reproduced(
        paper=PAPER,
        parts=parts,
        found=found,
        tried=TRIED,
        notes=[
            "Where no expert passes the test (q of 5 % or less) the readout is a constant, whose area is one half.",
            "At home the model answers, away it mostly misses: what the pair of scripts alone tells stands beside.",
        ],
    )


def part_of(name: str, core: "Identified", counts: "Counts", test: "Counts", laboratory: Laboratory) -> Part:
    """Judge one setting."""
    shares_NA, is_right_N, entities, pairs = _prompts(test)
    areas = Areas(is_right_N, entities, seed=laboratory.seed)
    by_pair = _shares_of_pairs(counts)
    pair_N = np.array([by_pair.get(pair, 0.5) for pair in pairs])
    beside = {"by the pair of scripts alone": areas.area(pair_N)}
    is_away = [index for index, (asked, source) in enumerate(pairs) if asked != source]
    if not core.chosen:
        nothing = Estimate(0.5, (0.5, 0.5)), Estimate(0.0, (0.0, 0.0))
        figures = dict(zip(("area", "over_random"), nothing, strict=True))
        return Part(
            name=name,
            thresholds=THRESHOLDS,
            figures=figures,
            over_random=figures["over_random"],
            beside=beside,
            note="no expert passes the test",
        )
    chosen = np.array(sorted(layer * test.model.experts + expert for layer, expert in core.chosen))
    readouts = [_read(counts, each, shares_NA) for each in (chosen, *_random(core, laboratory.draws))]
    if len(is_away) < len(pairs):
        away = Areas(is_right_N[is_away], [entities[index] for index in is_away], seed=laboratory.seed)
        beside["among questions away from home alone"] = away.area(readouts[0][is_away])
    over = areas.over(readouts[0], readouts[1:])
    return Part(
        name=name,
        thresholds=THRESHOLDS,
        figures={"area": areas.area(readouts[0]), "over_random": over},
        over_random=over,
        beside={"as many random experts": areas.mean(readouts[1:]), **beside},
    )


def _asked(run: Any, *, at_home: bool) -> "Counts":
    counts: Counts = run.counts()
    return counts if at_home else counts.where(task="cross")


def _prompts(counts: "Counts") -> tuple[Array, NDArray[np.bool_], list[str], list[tuple[str, str]]]:
    """Give each prompt's selection frequencies, whether it is answered, its entity and its scripts."""
    rows = counts.where(phase="prompt").summed_by("sequence")
    shares_NA = rows.selected_NLE.reshape(rows.num_rows, -1) / rows.tokens_N[:, None]
    labels = rows.labels
    pairs = list(zip(labels["prompt_script"].to_list(), labels["source"].to_list(), strict=True))
    return shares_NA, (labels["right"] == "true").to_numpy(), labels["about"].to_list(), pairs


def _read(counts: "Counts", chosen: NDArray[np.int64], test_NA: Array) -> Array:
    shares_NA, is_right_N, _, _ = _prompts(counts)
    return fit_readout(shares_NA, is_right_N, chosen).probability(test_NA)


def _random(core: "Identified", draws: int) -> list[NDArray[np.int64]]:
    """Draw as many experts of the same layers and frequency bins."""
    assert core.frequencies_LE is not None
    num_experts = core.model.experts
    drawn = []
    for draw in range(1, draws + 1):
        rng = np.random.default_rng(draw)
        sets = []
        for layer, frequencies_E in enumerate(core.frequencies_LE):
            bins_E = frequency_bins(frequencies_E)
            mine = [expert for at, expert in core.chosen if at == layer]
            for index in range(int(bins_E.max()) + 1):
                count = sum(bins_E[expert] == index for expert in mine)
                sets.append(layer * num_experts + rng.permutation(np.flatnonzero(bins_E == index))[:count])
        drawn.append(np.sort(np.concatenate(sets)))
    return drawn


def _shares_of_pairs(counts: "Counts") -> dict[tuple[str, str], float]:
    _, is_right_N, _, pairs = _prompts(counts)
    by_pair: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for pair, is_right in zip(pairs, is_right_N.tolist(), strict=True):
        by_pair[pair].append(is_right)
    return {pair: float(np.mean(outcomes)) for pair, outcomes in by_pair.items()}
