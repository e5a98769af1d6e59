"""One layer's rows of the edit table."""

from dataclasses import dataclass

from torch import Tensor

FORCED = 1
BANNED = 2


@dataclass(frozen=True, eq=False)
class LayerEdits:
    """Edits of every slot for one layer; row 0 is the unsteered slot and holds none.

    Attributes:
        add_SE: float32, added to the logits (strength already applied).
        std_SE: float32, added in units of the token's own standard deviation over experts.
        flags_SE: uint8, `FORCED` and `BANNED` bits.
        scale_SE: float32, factor on the routing weight of a selected expert.
        edits_logits_S: bool, the slot changes this layer's selection.
        scales_S: bool, the slot changes this layer's weights.
        renormalize_S: bool, scaled weights are brought back to their former sum.
    """

    add_SE: Tensor
    std_SE: Tensor
    flags_SE: Tensor
    scale_SE: Tensor
    edits_logits_S: Tensor
    scales_S: Tensor
    renormalize_S: Tensor
