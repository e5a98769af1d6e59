"""Each arm measured right beside plain vLLM, again and again: a machine's speed drifts, the ratio of two does not."""

import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.environment import interval_of_median, quartiles

Pairs = dict[int, dict[str, list[tuple[float, float]]]]
"""(plain, arm) by number of requests and arm."""


@dataclass(frozen=True)
class Row:
    """One arm's figures: its speed, and the ratio to plain vLLM just before or after.

    Attributes:
        arm: Name.
        num_requests: At a time.
        speed: Median.
        ratio: Median.
        quartiles: Of the ratio.
        interval: 95 % bootstrap interval of the ratio's median.
    """

    arm: str
    num_requests: int
    speed: float
    ratio: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]


def measure_pairs(
    sizes: Sequence[int], arms: Sequence[str], measure: Callable[[str, int], float], *, plain: str, rounds: int
) -> Pairs:
    """Measure all arms in every round, in a new order each time, and plain vLLM before or after each of them.

    Args:
        sizes: Numbers of requests.
        arms: All but plain vLLM.
        measure: Gives the speed of an arm with so many requests.
        plain: Plain vLLM's arm.
        rounds: How often each arm is measured.
    """
    pairs: Pairs = {size: {arm: [] for arm in arms} for size in sizes}
    cells = [(size, arm) for size in sizes for arm in arms]
    order = random.Random(0)
    for index in range(rounds):
        for size, arm in order.sample(cells, len(cells)):
            found = {name: measure(name, size) for name in order.sample([plain, arm], 2)}
            pairs[size][arm].append((found[plain], found[arm]))
        print(f"round {index + 1} of {rounds}", file=sys.stderr, flush=True)
    return pairs


def rows(pairs: Pairs) -> list[Row]:
    """Give medians, spread and interval of every arm."""
    table = []
    for size, by_arm in pairs.items():
        for arm, measured in by_arm.items():
            ratios = [mine / plain for plain, mine in measured]
            low, middle, high = quartiles(ratios)
            speed = statistics.median(mine for _, mine in measured)
            table.append(Row(arm, int(size), speed, middle, (low, high), interval_of_median(ratios)))
    return table


def num_rounds(record: dict[str, Any]) -> int:
    """Give how often each arm was measured."""
    return len(next(iter(next(iter(record["pairs"].values())).values())))


def to_lines(pairs: Pairs, *, unit: str) -> list[str]:
    """Write the table."""
    lines = [
        f"| requests | arm | {unit}, median | ratio to plain, median [95 %] | quartiles |",
        "|---|---|---|---|---|",
    ]
    for row in rows(pairs):
        ratio = f"{row.ratio:.3f} [{row.interval[0]:.3f}, {row.interval[1]:.3f}]"
        spread = f"{row.quartiles[0]:.3f} to {row.quartiles[1]:.3f}"
        lines.append(f"| {row.num_requests} | {row.arm} | {row.speed:.0f} | {ratio} | {spread} |")
    return lines
