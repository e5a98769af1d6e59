"""Rules: what guesses a question's source script, and what it may look at.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    import numpy as np

ANY_SOURCE = "*"
"""What a rule guesses that needs no source: the plan of (query script, `*`) is its own."""


@dataclass(frozen=True, kw_only=True)
class FirstPass:
    """The unsteered request that a rule needs before it can guess.

    Attributes:
        max_tokens: Tokens to generate; None for as many as the item allows.
        wants_routing: Ask for `routing: {"return": ["summary"]}`.
    """

    max_tokens: int | None = None
    wants_routing: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen:
    """What the first pass showed.

    Attributes:
        selected_LE: int64 [layers, experts], how often each expert was selected in the prompt phase; None where the
            pass did not ask.
        reasoning: The reasoning, empty where there is none.
        text: The answer.
    """

    selected_LE: "np.ndarray[Any, Any] | None" = None
    reasoning: str = ""
    text: str = ""


class Rule(Protocol):
    """Guesses the source script; fitted beforehand, the same guess for the same input."""

    @property
    def name(self) -> str:
        """Its name in arms, such as `entities`."""

    @property
    def first_pass(self) -> FirstPass | None:
        """What it has to see first; None when the question is enough."""

    @property
    def plans(self) -> Mapping[Pair, Plan]:
        """Plans of its own, by (query script, `*`); empty where it chooses among the plans it is given."""

    def guess(self, question: str, *, query_script: str, seen: Seen | None = None) -> str | None:
        """Guess where the answer was learned.

        Args:
            question: The user's text.
            query_script: Its script.
            seen: What the first pass showed; None where there was none.

        Returns:
            A script, or `ANY_SOURCE`. Nothing is steered when it is None or the query script itself.
        """
