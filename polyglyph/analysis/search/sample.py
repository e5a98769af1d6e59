"""Development items: all that a search ever asks, and the fixed sample of them that most trials are given."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.search.errors import SearchError, TestItemError

KNOWLEDGE = "knowledge"
GUARD_SHARE = 0.2
"""Guards per item that is aimed at, in a sample."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Items in the order in which they are asked; any beginning is spread evenly over the pairs.

    Attributes:
        aims: Knowledge asked in another script than it was learned in: what plans are to mend.
        guards: Everything else: what plans should leave alone.
    """

    aims: tuple[Item, ...]
    guards: tuple[Item, ...]

    def part(self, begin: float, end: float) -> "Sample":
        """Give what lies between two shares of both, 0 to 1; parts that follow each other make up the whole."""
        aims, guards = (slice(round(begin * len(items)), round(end * len(items))) for items in (self.aims, self.guards))
        return Sample(aims=self.aims[aims], guards=self.guards[guards])

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of the aims, sorted."""
        return tuple(sorted({item.pair for item in self.aims}))

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts of the aims, sorted."""
        return tuple(sorted({script for pair in self.pairs for script in pair}))


def development_of(benchmark: Benchmark, *, seed: int) -> Sample:
    """Give all development items of a benchmark.

    Raises:
        SearchError: None of them asks knowledge across scripts.
    """
    items = [item for item in benchmark.items if item.half == "development"]
    check_development(items)
    aims = [item for item in items if item.is_cross and item.task == KNOWLEDGE]
    if not aims:
        raise SearchError(
            f"benchmark {benchmark.header.name} has no development item that asks knowledge across scripts, so there "
            "is nothing to choose a plan on"
        )
    guards = [item for item in items if not (item.is_cross and item.task == KNOWLEDGE)]
    return Sample(aims=_dealt(aims, seed), guards=_dealt(guards, seed))


def sample_of(development: Sample, *, num_items: int) -> Sample:
    """Give a sample of the development items, the same for every trial."""
    num_guards = round(num_items * GUARD_SHARE / (1 + GUARD_SHARE))
    return Sample(aims=development.aims[: max(1, num_items - num_guards)], guards=development.guards[:num_guards])


def final_of(development: Sample) -> Sample:
    """Give what finalists are asked: every aim, and half as many guards at most, of which there may be far more."""
    return Sample(aims=development.aims, guards=development.guards[: max(1, len(development.aims) // 2)])


def check_development(items: Iterable[Item]) -> None:
    """Refuse what is not of the development half.

    Raises:
        TestItemError: An item is of the test half, or has none.
    """
    for item in items:
        if item.half != "development":
            raise TestItemError(
                f"item {item.id!r} is of the half {item.half!r}: a search chooses on development items only, and plans "
                "are judged on the others"
            )


def _dealt(items: Sequence[Item], seed: int) -> tuple[Item, ...]:
    """Shuffle, then deal in turn from each task and pair."""
    groups: dict[tuple[str, Pair], list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: sha256(f"{seed} {item.id}".encode()).digest()):
        groups[item.task, item.pair].append(item)
    places = {item.id: (index, key) for key, group in groups.items() for index, item in enumerate(group)}
    return tuple(sorted(items, key=lambda item: places[item.id]))
