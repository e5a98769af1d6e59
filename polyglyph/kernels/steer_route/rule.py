"""How one layer turns router logits into experts and weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Scoring = Literal["softmax", "sigmoid", "sqrtsoftplus", "custom"]
CustomSelect = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(hidden_states_TH, logits_TE) -> (weights_TK, ids_TK): a model's own selection."""


@dataclass(frozen=True, eq=False)
class SelectionRule:
    """One layer's selection, restated from vLLM's router classes.

    Attributes:
        scoring: How a logit becomes a score.
        top_k: Experts per token.
        renormalize: The k weights are brought to sum 1.
        scaling: Factor on the final weights.
        bias_E: float32 [E] added to the scores for the choice only (DeepSeek's correction bias), or None.
        num_groups: Groups of equal size; 1 for none.
        top_groups: Groups that may be chosen from.
        custom: The model's own function, for `scoring="custom"`.
    """

    scoring: Scoring
    top_k: int
    renormalize: bool = True
    scaling: float = 1.0
    bias_E: Tensor | None = None
    num_groups: int = 1
    top_groups: int = 1
    custom: CustomSelect | None = None
