"""Plan sets: the plan of each query script and source script, in a folder of `*.plan.json` files.

A file named `QUERY-to-SOURCE.plan.json` (`cyrl-to-latn`) is for questions written in QUERY about what was learned in
SOURCE; `to-SOURCE` is for any query script; any other name is for every pair, when the folder holds nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from polyglyph.contract.plan import Plan

Pair = tuple[str, str]


@dataclass(frozen=True)
class PlanSet:
    """Plans by (query script, source script).

    Attributes:
        plans: One per pair; a pair without one is never steered.
    """

    plans: Mapping[Pair, Plan]
