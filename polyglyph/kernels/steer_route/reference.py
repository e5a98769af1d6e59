"""Plain torch: the specification of steer_route, and what runs where no fused kernel fits.

Letters: T tokens, E experts, K selected experts, S slots, H hidden size.
"""

import torch
from torch import Tensor

from polyglyph.kernels.steer_route import layer
from polyglyph.kernels.steer_route.edits import BANNED, FORCED
from polyglyph.kernels.steer_route.rule import SelectionRule
from polyglyph.kernels.steer_route.scores import router_scores


class LayerSteering(layer.LayerSteering):
    """See `polyglyph.kernels.steer_route.layer`. Reads nothing back, so that a CUDA graph can hold it."""

    def steer(self, logits_TE: Tensor, weights_TK: Tensor, ids_TK: Tensor, hidden_TH: Tensor) -> None:
        """See `polyglyph.kernels.steer_route.layer`."""
        edits, slots = self.edits, self.slot_T[: ids_TK.shape[0]].long()
        flags = edits.flags_SE[slots]
        edited = edit_logits(logits_TE, edits.add_SE[slots], edits.std_SE[slots], flags)
        own_weights, own_ids = select(edited, flags, hidden_TH, self.rule)
        selects = edits.edits_logits_S[slots].unsqueeze(1)
        ids = torch.where(selects, own_ids.to(ids_TK.dtype), ids_TK)
        weights = torch.where(selects, own_weights.to(weights_TK.dtype), weights_TK)
        scaled = scale_weights(weights, ids, edits.scale_SE[slots], edits.renormalize_S[slots])
        weights = torch.where(edits.scales_S[slots].unsqueeze(1), scaled, weights)
        kept = (ids.unsqueeze(2) == ids_TK.unsqueeze(1)).any(dim=2)
        ids_TK.copy_(ids)
        weights_TK.copy_(weights)
        self.log.write(weights, ids, ~kept.all(dim=1))


def edit_logits(logits_TE: Tensor, add_TE: Tensor, std_TE: Tensor, flags_TE: Tensor) -> Tensor:
    """Apply add, add_std, ban and force to each token's logits (methods section 4).

    The standard deviation is the population's, over the token's unedited logits. A banned expert gets -inf, a forced
    one the largest of the edited, unbanned logits.

    Returns:
        float32 [T, E], fresh.
    """
    logits = logits_TE.float()
    edited = logits + add_TE + std_TE * logits.std(dim=-1, correction=0, keepdim=True)
    edited = edited.masked_fill((flags_TE & BANNED) != 0, float("-inf"))
    largest = edited.max(dim=-1, keepdim=True).values
    return torch.where((flags_TE & FORCED) != 0, largest, edited)


def select(edited_TE: Tensor, flags_TE: Tensor, hidden_TH: Tensor, rule: SelectionRule) -> tuple[Tensor, Tensor]:
    """Choose experts and weigh them as the layer's router does, with bans and forces certain.

    Returns:
        float32 weights [T, K] and int64 ids [T, K].
    """
    if rule.scoring == "custom":
        return _select_custom(edited_TE, flags_TE, hidden_TH, rule)
    scores = router_scores(edited_TE, rule)
    choice = scores if rule.bias_E is None else scores + rule.bias_E
    if rule.scoring == "softmax" and rule.bias_E is None:
        choice = edited_TE
    choice = choice.masked_fill((flags_TE & BANNED) != 0, float("-inf"))
    choice = choice.masked_fill((flags_TE & FORCED) != 0, float("inf"))
    if rule.num_groups > 1:
        choice = _keep_best_groups(choice, rule)
    ids = choice.topk(rule.top_k, dim=-1).indices
    weights = scores.gather(1, ids)
    if rule.renormalize:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights * rule.scaling, ids


def scale_weights(weights_TK: Tensor, ids_TK: Tensor, scale_TE: Tensor, renormalize_T: Tensor) -> Tensor:
    """Multiply each selected expert's weight by its factor; where asked, keep the former sum.

    Returns:
        [T, K] of the weights' dtype, fresh. A row whose scaled weights are all 0 stays 0.
    """
    weights = weights_TK.float()
    scaled = weights * scale_TE.gather(1, ids_TK.long().clamp(min=0))
    total = scaled.sum(dim=-1, keepdim=True)
    back = torch.where(total != 0, weights.sum(dim=-1, keepdim=True) / total, torch.ones_like(total))
    return torch.where(renormalize_T.unsqueeze(1), scaled * back, scaled).to(weights_TK.dtype)


def _keep_best_groups(choice_TE: Tensor, rule: SelectionRule) -> Tensor:
    """Leave only the experts of the best groups: by their best expert, or by their best two under a bias.

    A group of which only one expert lives counts that one alone, so that it is not taken for a dead group.
    """
    num_tokens, num_experts = choice_TE.shape
    groups = choice_TE.view(num_tokens, rule.num_groups, num_experts // rule.num_groups)
    if rule.bias_E is None or groups.shape[-1] == 1:
        score = groups.max(dim=-1).values
    else:
        best = groups.topk(2, dim=-1).values
        second = torch.where(best[..., 1] == float("-inf"), torch.zeros_like(best[..., 1]), best[..., 1])
        score = best[..., 0] + second
    keep = torch.zeros_like(score, dtype=torch.bool)
    keep.scatter_(1, score.topk(rule.top_groups, dim=-1).indices, True)
    return groups.masked_fill(~keep.unsqueeze(-1), float("-inf")).view_as(choice_TE)


def _select_custom(
    edited_TE: Tensor, flags_TE: Tensor, hidden_TH: Tensor, rule: SelectionRule
) -> tuple[Tensor, Tensor]:
    assert rule.custom is not None
    # A function we cannot look into sees the edits through its logits alone: a forced expert must stand above the
    # largest, not level with it. Whether this is honoured is probed when the model is loaded.
    margin = edited_TE.abs().masked_fill(edited_TE == float("-inf"), 0.0).max(dim=-1, keepdim=True).values * 1e-3 + 1e-3
    raised = torch.where((flags_TE & FORCED) != 0, edited_TE + margin, edited_TE)
    weights, ids = rule.custom(hidden_TH, raised)
    return weights.float(), ids.long()
