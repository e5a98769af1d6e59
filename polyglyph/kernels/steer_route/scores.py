"""What a router thought of the experts before any edit: the scores of all, and who came next.

Letters: T tokens, E experts, K selected experts.
"""

import torch
from torch import Tensor

from polyglyph.kernels.steer_route.rule import SelectionRule


def router_scores(logits_TE: Tensor, rule: SelectionRule) -> Tensor:
    """Give the router's own scores, before bias, choice and renormalisation.

    Args:
        logits_TE: Unedited router logits, any float dtype.
        rule: How the layer selects; `custom` has no scores that could be read.

    Returns:
        float32 [T, E]: probabilities under softmax, independent ones under sigmoid, sqrt(softplus) otherwise.
    """
    logits = logits_TE.float()
    if rule.scoring == "softmax":
        return logits.softmax(dim=-1)
    if rule.scoring == "sigmoid":
        return logits.sigmoid()
    assert rule.scoring == "sqrtsoftplus"
    return torch.nn.functional.softplus(logits).sqrt()


def runner_up(logits_TE: Tensor, ids_TK: Tensor, rule: SelectionRule) -> Tensor:
    """Give the k experts that the router would have chosen next.

    Args:
        logits_TE: Unedited router logits.
        ids_TK: The experts in force, left out of the choice.
        rule: How the layer selects; its bias counts, limits to groups do not.

    Returns:
        int32 [T, K], best first; -1 where fewer than 2k experts exist.
    """
    num_experts, top_k = logits_TE.shape[1], ids_TK.shape[1]
    choice = logits_TE.float() if rule.bias_E is None else router_scores(logits_TE, rule) + rule.bias_E
    choice = choice.scatter(1, ids_TK.long().clamp(min=0), float("-inf"))
    num_left = min(top_k, num_experts - top_k)
    next_ids = torch.full_like(ids_TK, -1, dtype=torch.int32)
    next_ids[:, :num_left] = choice.topk(num_left, dim=-1).indices.int()
    return next_ids
