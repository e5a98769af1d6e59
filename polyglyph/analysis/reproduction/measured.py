"""What arms measured: shares of right answers, what is kept or lost of none's, and differences, with intervals.

Letters of shapes: I questions of a set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.reproduction.arm import Arm, Kind, of_kind
from polyglyph.analysis.reproduction.questions import Question, entities_of
from polyglyph.analysis.results.comparison import difference, quotient, score_of
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.figure import Figure, Missing

NO_DRAWS = "there is no such random control: dealing the edits anew changes nothing"
NONE_RIGHT = "no question is answered right without steering"

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Arms with their answers to the same sets of questions.

    Attributes:
        sets: Questions by name.
        arms: Each asked some of the sets; one of them without steering.
        seed: Of the resamples.
    """

    sets: Mapping[str, Sequence[Question]]
    arms: tuple[Arm, ...]
    seed: int

    def right(self, arm: str, name: str) -> Shares:
        """Give an arm's outcomes, 1 for right."""
        return next(each for each in self.arms if each.name == arm).right(name)

    def random(self, kind: Kind, name: str) -> Shares | None:
        """Give each question's mean over the random draws of a kind; None where there are none."""
        drawn = [arm.right(name) for arm in of_kind(self.arms, kind) if name in arm.answers]
        mean: Shares | None = np.mean(drawn, axis=0) if drawn else None
        return mean

    def kept(self, shares_I: Shares | None, name: str) -> Figure:
        """Give accuracy as a share of that without steering."""
        if shares_I is None:
            return Missing(NO_DRAWS)
        return quotient(self._bootstrap(name), shares_I, self._none(name), otherwise=NONE_RIGHT)

    def lost(self, shares_I: Shares | None, name: str) -> Figure:
        """Give the share that is no longer right of the questions that are right without steering."""
        if shares_I is None:
            return Missing(NO_DRAWS)
        none_I = self._none(name)
        return quotient(self._bootstrap(name), none_I * (1.0 - shares_I), none_I, otherwise=NONE_RIGHT)

    def over(self, treated_I: Shares | None, control_I: Shares | None, name: str) -> Figure:
        """Give the paired difference of two outcomes."""
        if treated_I is None or control_I is None:
            return Missing(NO_DRAWS)
        return difference(self._bootstrap(name), treated_I, control_I)

    def lost_over(self, treated_I: Shares | None, control_I: Shares | None, name: str) -> Figure:
        """Give by how much more of none's right answers the one loses than the other."""
        if treated_I is None or control_I is None:
            return Missing(NO_DRAWS)
        none_I = self._none(name)
        return quotient(self._bootstrap(name), none_I * (control_I - treated_I), none_I, otherwise=NONE_RIGHT)

    def gain(self, arm: str, name: str) -> Figure:
        """Give an arm's difference to no steering."""
        return self.over(self.right(arm, name), self._none(name), name)

    def to_json(self) -> list[dict[str, Any]]:
        """Give every arm with its scores by set."""
        return [
            arm.to_json() | {"sets": {name: self._set_json(arm, name) for name in arm.answers}} for arm in self.arms
        ]

    def _set_json(self, arm: Arm, name: str) -> dict[str, Any]:
        score = score_of(arm.right(name)).to_json()
        if arm.kind == "none":
            return score
        return score | {
            "against_none": self.over(arm.right(name), self._none(name), name).to_json(),
            "lost": self.lost(arm.right(name), name).to_json(),
        }

    def _none(self, name: str) -> Shares:
        return next(arm for arm in self.arms if arm.kind == "none" and name in arm.answers).right(name)

    def _bootstrap(self, name: str) -> Bootstrap:
        if name not in self._bootstraps:
            self._bootstraps[name] = Bootstrap(entities_of(self.sets[name]), seed=self.seed)
        return self._bootstraps[name]

    @cached_property
    def _bootstraps(self) -> dict[str, Bootstrap]:
        return {}
