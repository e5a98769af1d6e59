"""Pathways (2506.21551): one question in two scripts takes more alike pathways than two questions, and it may matter.

Letters of shapes: F facts, P pairs, M symbols of a pathway, L MoE layers, n tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.quantities.pathway import pathway_distance, pathways_of_tokens
from polyglyph.analysis.reproduction.areas import Areas
from polyglyph.analysis.reproduction.laboratory import Laboratory
from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced
from polyglyph.analysis.statistics.bootstrap import Bootstrap

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.labelled_run import LabelledRun
    from polyglyph.contract.trace import SequenceTrace

PAPER = Paper(
    name="pathways",
    arxiv="2506.21551",
    method="pathway distance",
    claim="The pathways of a question in the script it was learned in and in another are nearer than those of "
    "unrelated questions, and how near they are tells whether the fact is found from there.",
)
NEARER = Threshold(
    name="nearer",
    words="distance of shuffled pairs less that of transliterated pairs",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)
AREA = Threshold(
    name="area",
    words="area under the ROC curve: near pairs first, right answers away from home against wrong ones",
    bound="above",
    limit=0.5,
    source="ours",
    judges_interval=True,
)
OVER_SHUFFLED = Threshold(
    name="over_shuffled",
    words="area over that of shuffled pairs, mean of the draws",
    bound="above",
    limit=0.0,
    source="ours",
    judges_interval=True,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Questions away from home, each with the pathway of itself and of its fact asked at home.

    Attributes:
        away_PM: Pathways of all layers, symbols of a layer side by side.
        home_PM: Of the same fact.
        layer_M: Of each symbol.
        is_right_P: Whether the question is answered.
        entities: Its entity.
        kinds: Relation and scripts: within these pairs are shuffled.
    """

    away_PM: NDArray[np.int64]
    home_PM: NDArray[np.int64]
    layer_M: NDArray[np.int64]
    is_right_P: NDArray[np.bool_]
    entities: Sequence[str]
    kinds: Sequence[tuple[str, ...]]

    def distance(self, home_PM: NDArray[np.int64], layer: int | None = None) -> Array:
        """Give each pair's distance, over one layer or all."""
        if layer is None:
            return pathway_distance(self.away_PM, home_PM)
        at_M = self.layer_M == layer
        return pathway_distance(self.away_PM[:, at_M], home_PM[:, at_M])

    def shuffled(self, draw: int) -> NDArray[np.int64]:
        """Give each pair the home pathway of another entity, of the same relation and scripts."""
        rng = np.random.default_rng(draw)
        other_P = np.arange(len(self.kinds))
        for kind in dict.fromkeys(self.kinds):
            members = np.array([index for index, each in enumerate(self.kinds) if each == kind])
            order = rng.permutation(members)
            other_P[order] = np.roll(order, 1)
        dealt_PM: NDArray[np.int64] = self.home_PM[other_P]
        return dealt_PM


async def reproduce(laboratory: Laboratory) -> Reproduced:
    """Compare the prompts of test facts; nothing is fitted."""
    pairs = pairs_of(await laboratory.run("thinking-test"))
    shuffled = [pairs.shuffled(draw) for draw in range(1, laboratory.draws + 1)]
    own_P = pairs.distance(pairs.home_PM)
    others = [pairs.distance(each) for each in shuffled]
    bootstrap = Bootstrap(pairs.entities, seed=laboratory.seed)
    areas = Areas(pairs.is_right_P, pairs.entities, seed=laboratory.seed)
    nearer = bootstrap.mean(np.mean(others, axis=0) - own_P)
    over = areas.over(-own_P, [-other_P for other_P in others])
    return Reproduced(
        paper=PAPER,
        parts=[
            Part(name="nearer", thresholds=(NEARER,), figures={"nearer": nearer}, over_random=nearer),
            Part(
                name="tells success",
                thresholds=(AREA, OVER_SHUFFLED),
                figures={"area": areas.area(-own_P), "over_shuffled": over},
                over_random=over,
                beside={"shuffled pairs": areas.mean([-other_P for other_P in others])},
            ),
        ],
        found={"by layer": by_layer(pairs, shuffled, bootstrap, areas), "pairs": {"num_pairs": len(own_P)}},
        notes=[
            "Shuffled pairs are of other entities, of the same relation, question script and source script.",
            "Of a prompt those tokens count that are in its script: name and relation, as many in every script.",
        ],
    )


def by_layer(
    pairs: Pairs, shuffled: Sequence[NDArray[np.int64]], bootstrap: Bootstrap, areas: Areas
) -> list[dict[str, Any]]:
    """Give distances and area of each layer."""
    rows = []
    for layer in range(int(pairs.layer_M.max()) + 1):
        own_P = pairs.distance(pairs.home_PM, layer)
        other_P = np.mean([pairs.distance(each, layer) for each in shuffled], axis=0)
        rows.append(
            {
                "layer": layer,
                "transliterated": bootstrap.mean(own_P).to_json(),
                "shuffled": bootstrap.mean(other_P).to_json(),
                "area": areas.area(-own_P).to_json(),
            }
        )
    return rows


def pairs_of(run: "LabelledRun") -> Pairs:
    """Pair the prompts of a labelled run with those of the same fact at home."""
    every = list(run)
    home = {each.item: each for each in every if each.labels["task"] == "home"}
    away = [each for each in every if each.labels["task"] == "cross" and each.item in home]
    words = {each.sequence: _pathway(each.trace, run.model.experts) for each in every}
    num_layers = every[0].trace.ids.shape[1]
    return Pairs(
        away_PM=np.stack([words[each.sequence] for each in away]),
        home_PM=np.stack([words[home[each.item].sequence] for each in away]),
        layer_M=np.tile(np.repeat(np.arange(num_layers), run.model.top_k), _num_tokens(words, num_layers, run)),
        is_right_P=np.array([each.labels["right"] == "true" for each in away]),
        entities=[each.labels["about"] for each in away],
        kinds=[(each.item.rpartition(".")[2], each.labels["prompt_script"], each.labels["source"]) for each in away],
    )


def _pathway(trace: "SequenceTrace", num_experts: int) -> NDArray[np.int64]:
    is_asked_n = (trace.phases == 0) & np.array([script == trace.request_script for script in trace.scripts])
    return pathways_of_tokens(trace.ids[is_asked_n], num_experts).ravel()


def _num_tokens(words: dict[str, NDArray[np.int64]], num_layers: int, run: "LabelledRun") -> int:
    return len(next(iter(words.values()))) // (num_layers * run.model.top_k)
