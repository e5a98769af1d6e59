"""Outcomes: the share of right answers of each item in each arm, and which items a figure is about.

Letters of shapes: I items, A arms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.statistics.bootstrap import Bootstrap

Shares = NDArray[np.float64]
Mask = NDArray[np.bool_]

ITEM_COLUMNS = (
    "item", "entity", "fact", "task", "source_script", "target_script", "source_language", "target_language",
)  # fmt: skip


@dataclass(frozen=True)
class Outcomes:
    """Items, arms and what came of them.

    Attributes:
        items: A row for each item.
        arms: In the order of the run.
        shares_IA: Right answers of an item in an arm, 0 to 1; between them where it was answered several times, NaN
            where it was not asked.
        seed: Of all resampling.
    """

    items: pl.DataFrame
    arms: tuple[Arm, ...]
    shares_IA: Shares
    seed: int

    def of(self, arm: Arm) -> Shares:
        """Give the shares of one arm, NaN where it was not asked."""
        return np.asarray(self.shares_IA[:, self.arms.index(arm)])

    def mean_of(self, arms: Sequence[Arm]) -> Shares:
        """Give the mean over arms, NaN where one of them was not asked."""
        return np.asarray(np.mean([self.of(arm) for arm in arms], axis=0))

    def of_kind(self, kind: ArmKind, like: Arm) -> tuple[Arm, ...]:
        """Give the arms of a kind, in the mode and at the temperature of another."""
        return tuple(arm for arm in self.arms if arm.kind is kind and is_comparable(arm, like))

    def none_of(self, arm: Arm) -> Arm | None:
        """Give the arm without steering that another is compared with."""
        return next(iter(self.of_kind(ArmKind.NONE, arm)), None)

    def only(self, mask_I: Mask) -> "Outcomes":
        """Give the outcomes of some of the items."""
        return Outcomes(self.items.filter(mask_I), self.arms, self.shares_IA[mask_I], self.seed)

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Resamples of the entities of these items."""
        return Bootstrap(self.items["entity"].to_list(), seed=self.seed)

    @cached_property
    def is_knowledge_I(self) -> Mask:
        """Whether an item asks for a fact."""
        return np.asarray((self.items["task"] == "knowledge").to_numpy())

    @cached_property
    def is_cross_I(self) -> Mask:
        """Whether an item asks for a fact in another script than its own."""
        is_other = (self.items["source_script"] != self.items["target_script"]).to_numpy()
        return np.asarray(self.is_knowledge_I & is_other)

    @cached_property
    def cross(self) -> "Outcomes":
        """Facts asked in another script than their own."""
        return self.only(self.is_cross_I)

    @cached_property
    def same(self) -> "Outcomes":
        """Facts asked in their own script."""
        return self.only(self.is_knowledge_I & ~self.is_cross_I)

    @cached_property
    def by_task(self) -> Mapping[str, "Outcomes"]:
        """The items of each task but knowledge."""
        tasks = self.items["task"].unique(maintain_order=True).to_list()
        return {task: self.only((self.items["task"] == task).to_numpy()) for task in tasks if task != "knowledge"}


def outcomes_of(frame: pl.DataFrame, arms: Sequence[Arm], *, right: str = "right", seed: int = 0) -> Outcomes:
    """Average the answers of each item and arm.

    Args:
        frame: What `measure` gives.
        arms: Those of the run; arms without an answer are left out.
        right: Column to average.
        seed: Of all resampling.
    """
    items = frame.select(ITEM_COLUMNS).unique("item", maintain_order=True)
    asked = tuple(arm for arm in arms if arm.name in set(frame["arm"].unique()))
    rows = {item: index for index, item in enumerate(items["item"])}
    columns = {arm.name: index for index, arm in enumerate(asked)}
    shares_IA = np.full((len(rows), len(columns)), np.nan)
    means = frame.group_by("item", "arm").agg(pl.col(right).cast(pl.Float64).mean())
    for item, arm, share in means.iter_rows():
        shares_IA[rows[item], columns[arm]] = share
    return Outcomes(items, asked, shares_IA, seed)


def is_comparable(arm: Arm, other: Arm) -> bool:
    """Whether two arms ask in the same mode and at the same temperature."""
    return arm.is_thinking == other.is_thinking and arm.temperature == other.temperature
