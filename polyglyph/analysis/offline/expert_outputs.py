"""What each expert gave for each token that was routed to it, before the routing weight.

Letters of shapes: T tokens, K selected experts, H hidden size.
"""

import torch
from torch import Tensor

from polyglyph.analysis.offline.moe_layer import MoeLayer
from polyglyph.analysis.offline.recording import LayerRecord

TOKENS_AT_A_TIME = 1024
"""A token's K outputs are held at once: 1024 x 8 x 4096 floats are 134 MB."""


@torch.no_grad()
def expert_outputs(layer: MoeLayer, hidden_TH: Tensor, ids_TK: Tensor) -> Tensor:
    """Compute selected experts one by one, with the model's own experts module.

    Every pair of token and expert is handed over as a token of its own that selects one expert with weight 1, so
    biases, gates and clamps are those of the model.

    Args:
        layer: Whose experts.
        hidden_TH: What they are given.
        ids_TK: int64, which of them compute each token.

    Returns:
        [T, K, H], the dtype of the model.
    """
    num_tokens, top_k = ids_TK.shape
    pairs = ids_TK.reshape(-1, 1)
    ones = torch.ones_like(pairs, dtype=hidden_TH.dtype)
    outputs: Tensor = layer.experts(hidden_TH.repeat_interleave(top_k, dim=0), pairs, ones)
    return outputs.reshape(num_tokens, top_k, -1)


@torch.no_grad()
def recombined(layer: MoeLayer, record: LayerRecord) -> Tensor:
    """Add up the selected experts' outputs by their weights, float32 [T, H]: what the experts module gives."""
    outputs_TKH = expert_outputs(layer, record.hidden_TH, record.ids_TK)
    return (outputs_TKH.float() * record.weights_TK.unsqueeze(-1).float()).sum(dim=1)


class OutputSizes:
    """Gathers the sizes of experts' outputs over passes.

    Attributes:
        tokens_LE: int64, how many tokens each expert computed.
        max_abs_LE: float32, the largest absolute entry of any output; 0 where there was none.
        max_norm_LE: float32, the largest L2 norm.
        norm_sum_LE: float64, the sum of L2 norms.
    """

    def __init__(self, num_layers: int, num_experts: int) -> None:
        shape = (num_layers, num_experts)
        self.tokens_LE = torch.zeros(shape, dtype=torch.int64)
        self.max_abs_LE = torch.zeros(shape, dtype=torch.float32)
        self.max_norm_LE = torch.zeros(shape, dtype=torch.float32)
        self.norm_sum_LE = torch.zeros(shape, dtype=torch.float64)

    def add(self, layer: MoeLayer, hidden_TH: Tensor, ids_TK: Tensor) -> None:
        """Add one layer's tokens of one pass, padding already left out."""
        for start in range(0, len(ids_TK), TOKENS_AT_A_TIME):
            part = slice(start, start + TOKENS_AT_A_TIME)
            self._add(layer.layer, ids_TK[part], expert_outputs(layer, hidden_TH[part], ids_TK[part]))

    def _add(self, layer: int, ids_TK: Tensor, outputs_TKH: Tensor) -> None:
        ids = ids_TK.flatten().cpu()
        outputs = outputs_TKH.flatten(0, 1).float()
        norms, largest = outputs.norm(dim=-1).cpu(), outputs.abs().amax(dim=-1).cpu()
        self.tokens_LE[layer].index_add_(0, ids, torch.ones_like(ids))
        self.norm_sum_LE[layer].index_add_(0, ids, norms.double())
        self.max_norm_LE[layer].scatter_reduce_(0, ids, norms, "amax")
        self.max_abs_LE[layer].scatter_reduce_(0, ids, largest, "amax")
