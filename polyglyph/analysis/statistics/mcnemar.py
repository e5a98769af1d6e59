"""McNemar's test: whether as many questions are gained as lost between two arms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class McNemar:
    """What changed between two arms, and how likely at least as much is by chance.

    Attributes:
        num_gained: Questions right with the treatment only.
        num_lost: Questions right without it only.
        exact: Two-sided exact p (McNemar 1947, binomial); 1 where nothing changed.
        mid: Mid-p, the exact one less half the probability of what was seen (Fagerland and others 2013).
    """

    num_gained: int
    num_lost: int
    exact: float
    mid: float

    def to_json(self) -> dict[str, Any]:
        """Give counts and p values."""
        return {"gained": self.num_gained, "lost": self.num_lost, "p_exact": self.exact, "p_mid": self.mid}


def mcnemar(treated: Sequence[Any], control: Sequence[Any]) -> McNemar:
    """Compare paired outcomes; questions count as independent, so read it beside the bootstrap over entities.

    Args:
        treated: Outcomes with the treatment, true or false.
        control: Outcomes of the same questions without it.
    """
    from scipy.stats import binom
    from statsmodels.stats.contingency_tables import mcnemar as exact_test

    after, before = np.asarray(treated, dtype=bool), np.asarray(control, dtype=bool)
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    if gained + lost == 0:
        return McNemar(0, 0, 1.0, 1.0)
    exact = float(exact_test([[0, gained], [lost, 0]], exact=True).pvalue)
    seen = float(binom.pmf(gained, gained + lost, 0.5))
    # Both tails hold what was seen, or both meet in it: half of each goes.
    return McNemar(gained, lost, exact, exact - (seen / 2 if gained == lost else seen))
