"""Transfer: ECLeKTic's two scores, of knowledge that is right both where it was learned and elsewhere (2502.21228).

Overall is the mean over (question, target other than source) of [right in target and right in source]; transfer is the
same over the questions that are right in their source. Other is another language where items name both, else another
script. Letters of shapes: I items.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.arm import Arm
from polyglyph.analysis.results.outcomes import Outcomes, Shares
from polyglyph.analysis.statistics.figure import Missing

NO_SOURCE = "no fact was asked both in its source and elsewhere"


def transfer_of(outcomes: Outcomes, arm: Arm) -> dict[str, Any]:
    """Give overall and transfer of one arm, with bootstrap intervals over entities.

    An item that was answered several times counts with the product of its two shares.
    """
    shares_I, at_home_I = outcomes.of(arm), home_shares(outcomes, arm)
    counts_I = np.isfinite(shares_I) & np.isfinite(at_home_I) & is_away(outcomes.items)
    if not counts_I.any():
        return Missing(NO_SOURCE).to_json()
    both_I = np.where(counts_I, shares_I * at_home_I, 0.0)
    bootstrap = outcomes.bootstrap
    overall = bootstrap.quotient(both_I, counts_I, otherwise=NO_SOURCE)
    below_I = np.where(counts_I, at_home_I, 0.0)
    transfer = bootstrap.quotient(both_I, below_I, otherwise="nothing is right in its source")
    return {"questions": int(counts_I.sum()), "overall": overall.to_json(), "transfer": transfer.to_json()}


def home_shares(outcomes: Outcomes, arm: Arm) -> Shares:
    """Give each item the share of its fact asked in its source, NaN where it was not."""
    is_home_I = ~is_away(outcomes.items) & outcomes.is_knowledge_I
    facts = outcomes.items["fact"].to_list()
    shares_I = outcomes.of(arm)
    at_home = {fact: share for fact, is_home, share in zip(facts, is_home_I, shares_I, strict=True) if is_home}
    return np.array([at_home.get(fact, np.nan) for fact in facts])


def is_away(items: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each item is asked in another language than its source, or in another script where none are named."""
    by_language = items["source_language"] != items["target_language"]
    if by_language.null_count():
        return np.asarray((items["source_script"] != items["target_script"]).to_numpy())
    return np.asarray(by_language.to_numpy())
