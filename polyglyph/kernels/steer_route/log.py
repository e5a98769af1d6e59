"""What is logged of one layer's tokens."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class RouteLog:
    """One layer's rows of the step's log: persistent tensors, written for the step's tokens and no further.

    Its K may be larger than the layer's: what is past the layer's own is left alone.

    Attributes:
        ids_TK: int32 selected experts.
        weights_TK: float32 routing weights.
        changed_T: bool, steering changed the selected set.
    """

    ids_TK: Tensor
    weights_TK: Tensor
    changed_T: Tensor

    def write(self, weights_TK: Tensor, ids_TK: Tensor, changed_T: Tensor | None = None) -> None:
        """Log a layer; no `changed_T` stands for a step in which nobody is steered."""
        num_tokens, top_k = ids_TK.shape
        self.ids_TK[:num_tokens, :top_k] = ids_TK
        self.weights_TK[:num_tokens, :top_k] = weights_TK
        self.changed_T[:num_tokens] = False if changed_T is None else changed_T
