"""Locality: MultiLoKo's figures over languages (2504.10356, section 3), from exact matches.

Average is the mean exact match over languages of the questions that were written in them; gap is the best language's
less the worst's. Mother tongue effect is a language's exact match on its own questions less that on their translations
into English; locality effect is the same less that on English questions translated into the language. Both are means
over languages. Letters of shapes: I items, L languages.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.arm import Arm
from polyglyph.analysis.results.outcomes import Outcomes
from polyglyph.analysis.statistics.figure import Figure, Missing, number

ENGLISH = "en"
NO_LANGUAGES = "the items do not name their languages"

Columns = NDArray[np.float64]


def locality_of(outcomes: Outcomes, arm: Arm) -> dict[str, Any]:
    """Give average, gap, best, worst, mother tongue and locality effect of one arm.

    Args:
        outcomes: Of the official exact match.
        arm: Whose.
    """
    local = _languages(outcomes, arm)
    if not local:
        return Missing(NO_LANGUAGES).to_json()
    rates = {language: _rate(outcomes, arm, language, language) for language in local}
    best, worst = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    return {
        "exact_match": {language: number(rate, otherwise="nothing was asked") for language, rate in rates.items()},
        "average": _mean_over(outcomes, arm, [((language, language), None) for language in local]).to_json(),
        "best": best,
        "worst": worst,
        "gap": number(rates[best] - rates[worst], otherwise="nothing was asked"),
        "mother_tongue_effect": _effect(outcomes, arm, [((x, x), (x, ENGLISH)) for x in local if x != ENGLISH]),
        "locality_effect": _effect(outcomes, arm, [((x, x), (ENGLISH, x)) for x in local if x != ENGLISH]),
    }


Cell = tuple[str, str]
"""Source and target language."""


def _languages(outcomes: Outcomes, arm: Arm) -> list[str]:
    """Give the languages that questions were written and asked in."""
    is_asked_I = np.isfinite(outcomes.of(arm)) & outcomes.is_knowledge_I
    pairs = outcomes.items.select("source_language", "target_language").rows()
    found = {source for (source, target), asked in zip(pairs, is_asked_I, strict=True) if asked and source == target}
    return sorted(language for language in found if language is not None)


def _effect(outcomes: Outcomes, arm: Arm, cells: list[tuple[Cell, Cell | None]]) -> dict[str, Any]:
    """Give the mean over languages of the difference of two cells, over the languages that have both."""
    both = [(here, there) for here, there in cells if there and len(_members(outcomes, arm, there))]
    if not both:
        return Missing("there are no translations").to_json()
    return {**_mean_over(outcomes, arm, both).to_json(), "languages": len(both)}


def _mean_over(outcomes: Outcomes, arm: Arm, cells: Iterable[tuple[Cell, Cell | None]]) -> Figure:
    """Give the mean over languages of a cell's rate, less another's where one is named, bootstrapped over entities."""
    columns: list[Columns] = []
    signs = []
    for here, there in cells:
        for cell, sign in ((here, 1.0), (there, -1.0)):
            if cell is not None:
                columns += _sums(outcomes, arm, cell)
                signs.append(sign)
    weights = np.array(signs) / sum(sign > 0 for sign in signs)

    def statistic(sums: Columns) -> Columns:
        rates = sums[..., 0::2] / sums[..., 1::2]
        return np.asarray((rates * weights).sum(axis=-1))

    return outcomes.bootstrap.estimate(
        np.stack(columns, axis=1), statistic, otherwise="too few questions of a language"
    )


def _sums(outcomes: Outcomes, arm: Arm, cell: Cell) -> list[Columns]:
    is_member_I = np.zeros(len(outcomes.items), dtype=bool)
    is_member_I[_members(outcomes, arm, cell)] = True
    return [np.where(is_member_I, np.nan_to_num(outcomes.of(arm)), 0.0), is_member_I.astype(np.float64)]


def _members(outcomes: Outcomes, arm: Arm, cell: Cell) -> NDArray[np.int64]:
    pairs = outcomes.items.select("source_language", "target_language").rows()
    is_there_I = np.array([pair == cell for pair in pairs], dtype=bool)
    return np.flatnonzero(is_there_I & np.isfinite(outcomes.of(arm)) & outcomes.is_knowledge_I)


def _rate(outcomes: Outcomes, arm: Arm, source: str, target: str) -> float:
    return float(outcomes.of(arm)[_members(outcomes, arm, (source, target))].mean())
