"""The objective: right answers across scripts, less a penalty for what steering takes from everything else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.search.asking import Asked, Asker
from polyglyph.analysis.search.candidate import Candidate, Planner
from polyglyph.analysis.search.sample import Sample
from polyglyph.analysis.statistics.wilson import score

Judge = Callable[[Item, str], bool]
"""Whether an answer to an item is right."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a candidate does to a sample's items.

    Attributes:
        aims: By item id, whether the answer was right.
        guards: The same of the guards.
        pairs: By item id of an aim, its pair.
    """

    aims: Mapping[str, bool]
    guards: Mapping[str, bool]
    pairs: Mapping[str, Pair]

    def value(self, unsteered: "Measured", *, guard_weight: float) -> float:
        """Give the objective: share of right aims, less the weight times the share of guards lost.

        Args:
            unsteered: The same items, or more, without steering.
            guard_weight: Of a lost guard, against a mended aim.
        """
        before = _share([unsteered.guards[item] for item in self.guards])
        return _share(self.aims.values()) - guard_weight * max(0.0, before - _share(self.guards.values()))

    def joined(self, other: "Measured") -> "Measured":
        """Give both together."""
        return Measured(
            aims={**self.aims, **other.aims},
            guards={**self.guards, **other.guards},
            pairs={**self.pairs, **other.pairs},
        )

    def of(self, sample: Sample) -> "Measured":
        """Give what was measured of a part of the items."""
        return Measured(
            aims={item.id: self.aims[item.id] for item in sample.aims},
            guards={item.id: self.guards[item.id] for item in sample.guards},
            pairs=self.pairs,
        )

    def rate(self, pair: Pair) -> float:
        """Give the share of a pair's aims that were answered right."""
        return _share([right for item, right in self.aims.items() if self.pairs[item] == pair])

    def to_json(self, pair: Pair | None = None) -> dict[str, Any]:
        """Give counts and Wilson intervals as plain JSON types, of one pair or of all."""
        aims = [right for item, right in self.aims.items() if pair in {None, self.pairs[item]}]
        return {"cross_script": _counted(aims), **({} if pair else {"guards": _counted(list(self.guards.values()))})}


NOTHING = Measured(aims={}, guards={}, pairs={})


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """Tries candidates on development items.

    Attributes:
        asker: Asks them.
        planner: Makes the candidates' plans.
        judge: Judges the answers.
        pairs: Every pair of scripts that gets a plan.
    """

    asker: Asker
    planner: Planner
    judge: Judge
    pairs: tuple[Pair, ...]

    async def measure(self, candidate: Candidate | None, sample: Sample) -> Measured:
        """Ask a sample under a candidate, or unsteered.

        An aim is steered by the plan of its pair. A guard is steered as if its source had been guessed wrongly: by a
        plan of its query script, drawn by its id.
        """
        fields = self.fields(candidate) if candidate else {}
        return await self.ask(
            sample,
            {item.id: fields.get(item.pair) for item in sample.aims}
            | {item.id: fields.get(wrong_pair(item, self.pairs)) for item in sample.guards},
        )

    async def ask(self, sample: Sample, steering: Mapping[str, Any]) -> Measured:
        """Ask a sample with the `steering` field of each item."""
        items = (*sample.aims, *sample.guards)
        texts = await self.asker.texts([Asked(item, steering[item.id]) for item in items])
        right = {item.id: self.judge(item, text) for item, text in zip(items, texts, strict=True)}
        return Measured(
            aims={item.id: right[item.id] for item in sample.aims},
            guards={item.id: right[item.id] for item in sample.guards},
            pairs={item.id: item.pair for item in sample.aims},
        )

    def fields(self, candidate: Candidate) -> dict[Pair, Any]:
        """Give the `steering` field of every pair."""
        return {pair: self.planner.steering(candidate, pair) for pair in self.pairs}


def wrong_pair(item: Item, pairs: Sequence[Pair]) -> Pair:
    """Give the pair that a guard is steered by: one of its query script, drawn by its id; its own if there is none."""
    same_query = [pair for pair in pairs if pair[0] == item.target_script]
    if item.is_cross or not same_query:
        return item.pair
    return same_query[int.from_bytes(sha256(item.id.encode()).digest()[:4], "big") % len(same_query)]


def _share(outcomes: Iterable[bool]) -> float:
    found = list(outcomes)
    return sum(found) / len(found) if found else 0.0


def _counted(outcomes: Sequence[bool]) -> dict[str, Any]:
    return score(outcomes).to_json() if outcomes else {"right": 0, "asked": 0}
