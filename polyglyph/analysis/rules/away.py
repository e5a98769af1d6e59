"""The rule `away`: no guess at all; one plan per query script, away from that script's own routing."""

from collections.abc import Mapping
from dataclasses import dataclass

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.rules.rule import ANY_SOURCE, FirstPass, Seen
from polyglyph.contract.plan import Plan


@dataclass(frozen=True)
class AwayRule:
    """Steers every question of a query script alike, the ones asked at home too.

    Attributes:
        by_query: Plan by query script.
        name: Of the rule.
    """

    by_query: Mapping[str, Plan]
    name: str = "away"

    @property
    def first_pass(self) -> FirstPass | None:
        """None: nothing is looked at."""
        return None

    @property
    def plans(self) -> Mapping[Pair, Plan]:
        """Its own plans, of any source."""
        return {(query, ANY_SOURCE): plan for query, plan in self.by_query.items()}

    def guess(self, question: str, *, query_script: str, seen: Seen | None = None) -> str | None:
        """Give `ANY_SOURCE` where there is a plan for the query script."""
        del question, seen
        return ANY_SOURCE if query_script in self.by_query else None
