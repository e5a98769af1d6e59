"""Ranking: RankC between a fact's candidates ranked in a script and ranked in its source script."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.errors import EvaluationRefusedError
from polyglyph.analysis.results.transfer import is_away
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.figure import Missing
from polyglyph.analysis.statistics.rank_consistency import rank_consistency

NO_PAIRS = "no fact's candidates were ranked both in its source and elsewhere"


def consistency_of(ranks: pl.DataFrame, items: pl.DataFrame, *, seed: int) -> dict[str, Any]:
    """Give RankC of one arm: the mean over (fact, target other than source), with a bootstrap interval over entities.

    Args:
        ranks: Columns item and ranking: indices of the item's candidates, the best first. The candidates of a fact's
            items are the same ones in the same order.
        items: Those of the run.
        seed: Of the bootstrap.

    Raises:
        EvaluationRefusedError: Two rankings of a fact do not hold the same candidates; the text names the item.
    """
    ranked = items.with_columns(pl.Series("is_away", is_away(items))).join(ranks, on="item")
    home = {fact: ranking for fact, away, ranking in ranked.select("fact", "is_away", "ranking").rows() if not away}
    columns = ("item", "entity", "fact", "target_script", "source_script", "is_away", "ranking")
    pairs = [
        (entity, f"{target} to {source}", _consistency(item, ranking, home[fact]))
        for item, entity, fact, target, source, away, ranking in ranked.select(columns).rows()
        if away and fact in home
    ]
    if not pairs:
        return Missing(NO_PAIRS).to_json()
    names = sorted({name for _, name, _ in pairs})
    return {
        **_mean(pairs, seed=seed),
        "pairs": {name: _mean([pair for pair in pairs if pair[1] == name], seed=seed) for name in names},
    }


def _consistency(item: str, ranking: list[int], at_home: list[int]) -> float:
    try:
        return rank_consistency(ranking, at_home)
    except ValueError as error:
        raise EvaluationRefusedError(f"the ranking of item {item!r} and that in its source script: {error}") from error


def _mean(pairs: Sequence[tuple[str, str, float]], *, seed: int) -> dict[str, Any]:
    bootstrap = Bootstrap([entity for entity, _, _ in pairs], seed=seed)
    return {"questions": len(pairs), **bootstrap.mean([value for _, _, value in pairs]).to_json()}
