"""One layer's kernel, bound once to what it reads and writes in every step."""

from torch import Tensor

from polyglyph.kernels.steer_route.edits import LayerEdits
from polyglyph.kernels.steer_route.log import RouteLog
from polyglyph.kernels.steer_route.rule import SelectionRule


class LayerSteering:
    """Steers and logs one layer's selections; each implementation derives from it.

    Args:
        slot_T: int32 slot of each token, 0 for unsteered; as long as the largest step, and stays where it is.
        edits: This layer's edits of every slot.
        rule: How this layer selects.
        log: Overwritten for each step's tokens.
    """

    def __init__(self, *, slot_T: Tensor, edits: LayerEdits, rule: SelectionRule, log: RouteLog) -> None:
        self.slot_T = slot_T
        self.edits = edits
        self.rule = rule
        self.log = log

    def steer(self, logits_TE: Tensor, weights_TK: Tensor, ids_TK: Tensor, hidden_TH: Tensor) -> None:
        """Replace vLLM's selection, in place, by the steered one in the rows whose slot has edits; log all rows.

        Args:
            logits_TE: Router logits, any float dtype, unchanged.
            weights_TK: vLLM's routing weights, any float dtype; rows without edits in this layer are left as they are.
            ids_TK: vLLM's selected experts, any integer dtype; likewise.
            hidden_TH: The layer's input; read by custom selections only.
        """
        raise NotImplementedError

    def log_selection(self, weights_TK: Tensor, ids_TK: Tensor) -> None:
        """Log vLLM's own selection, in a step in which nobody is steered."""
        self.log.write(weights_TK, ids_TK)
