"""`steer_route` as one Triton kernel: a program for each token.

Letters: T tokens, E experts, K selected experts, S slots, N groups of M experts.
"""

import triton
import triton.language as tl
from torch import Tensor

from polyglyph.kernels.steer_route import layer
from polyglyph.kernels.steer_route.edits import BANNED, FORCED

_SCORINGS = {"softmax": 0, "sigmoid": 1, "sqrtsoftplus": 2}
_NEVER = tl.constexpr(-(1 << 63))


class LayerSteering(layer.LayerSteering):
    """See `polyglyph.kernels.steer_route.layer`. Neither reads on the host nor stops a graph."""

    def steer(self, logits_TE: Tensor, weights_TK: Tensor, ids_TK: Tensor, hidden_TH: Tensor) -> None:  # noqa: ARG002
        """See `polyglyph.kernels.steer_route.layer`."""
        edits, rule, log = self.edits, self.rule, self.log
        (num_tokens, num_experts), top_k = logits_TE.shape, ids_TK.shape[1]
        if num_tokens == 0:
            return
        group_size = num_experts // rule.num_groups
        block_n, block_m = triton.next_power_of_2(rule.num_groups), triton.next_power_of_2(group_size)
        _steer_route_kernel[(num_tokens,)](
            logits_TE,
            weights_TK,
            ids_TK,
            self.slot_T,
            edits.add_SE,
            edits.std_SE,
            edits.flags_SE,
            edits.scale_SE,
            edits.edits_logits_S,
            edits.scales_S,
            edits.renormalize_S,
            rule.bias_E,
            log.ids_TK,
            log.weights_TK,
            log.changed_T,
            logits_TE.stride(0),
            weights_TK.stride(0),
            ids_TK.stride(0),
            edits.add_SE.stride(0),
            log.ids_TK.stride(0),
            rule.scaling,
            SCORING=_SCORINGS[rule.scoring],
            HAS_BIAS=rule.bias_E is not None,
            RENORMALIZES=rule.renormalize,
            N=rule.num_groups,
            M=group_size,
            TOP_N=rule.top_groups,
            K=top_k,
            BLOCK_N=block_n,
            BLOCK_M=block_m,
            BLOCK_K=triton.next_power_of_2(top_k),
            FORCED=FORCED,
            BANNED=BANNED,
            num_warps=1 if block_n * block_m <= 256 else 4,
        )


@triton.jit
def _steer_route_kernel(
    logits_TE, weights_TK, ids_TK, slot_T,
    add_SE, std_SE, flags_SE, scale_SE, edits_logits_S, scales_S, renormalize_S, bias_E,
    log_ids_TK, log_weights_TK, log_changed_T,
    logits_stride, weights_stride, ids_stride, slot_stride, log_stride, scaling,
    SCORING: tl.constexpr, HAS_BIAS: tl.constexpr, RENORMALIZES: tl.constexpr,
    N: tl.constexpr, M: tl.constexpr, TOP_N: tl.constexpr, K: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
    FORCED: tl.constexpr, BANNED: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slot_T + token).to(tl.int64)
    place = tl.arange(0, BLOCK_K)
    is_place = place < K
    theirs_K = tl.load(ids_TK + token * ids_stride + place, mask=is_place, other=-1).to(tl.int32)
    weights_K = tl.load(weights_TK + token * weights_stride + place, mask=is_place, other=0.0).to(tl.float32)
    ids_K = theirs_K
    changed = 0
    selects, scales = tl.load(edits_logits_S + slot) != 0, tl.load(scales_S + slot) != 0

    if selects:
        group, member = tl.arange(0, BLOCK_N)[:, None], tl.arange(0, BLOCK_M)[None, :]
        expert = group * M + member
        is_expert = (group < N) & (member < M)
        cell = slot * slot_stride + expert
        flags = tl.load(flags_SE + cell, mask=is_expert, other=0).to(tl.int32)
        is_out = ((flags & BANNED) != 0) | (is_expert == 0)
        is_forced = (flags & FORCED) != 0

        logits = tl.load(logits_TE + token * logits_stride + expert, mask=is_expert, other=0.0).to(tl.float32)
        centred = tl.where(is_expert, logits - _sum(logits) / (N * M), 0.0)
        deviation = tl.sqrt(_sum(centred * centred) / (N * M))
        edited = logits + tl.load(add_SE + cell, mask=is_expert, other=0.0)
        edited += tl.load(std_SE + cell, mask=is_expert, other=0.0) * deviation
        edited = tl.where(is_out, float("-inf"), edited)
        largest = tl.max(tl.max(edited, axis=1), axis=0)
        edited = tl.where(is_forced, largest, edited)

        if SCORING == 0:
            score = tl.exp(edited - largest)
            score = score / _sum(score)
        elif SCORING == 1:
            score = 1.0 / (1.0 + tl.exp(-edited))
        else:
            score = tl.sqrt(_softplus(edited))

        choice = score if SCORING != 0 else edited
        if HAS_BIAS:
            choice = score + tl.load(bias_E + expert, mask=is_expert, other=0.0)
        choice = tl.where(is_out, float("-inf"), choice)
        choice = tl.where(is_forced, float("inf"), choice)
        if N > 1:
            choice = _keep_best_groups(choice, N, M, TOP_N, HAS_BIAS, BLOCK_N, BLOCK_M)

        # One number to order by: the choice, then the lower expert first.
        key = tl.where(is_expert, _sortable(choice) + (0x7FFFFFFF - expert), _NEVER)
        for index in tl.static_range(K):
            best = tl.max(tl.max(key, axis=1), axis=0)
            is_best = key == best
            ids_K = tl.where(place == index, (0x7FFFFFFF - (best & 0x7FFFFFFF)).to(tl.int32), ids_K)
            weights_K = tl.where(place == index, _sum(tl.where(is_best, score, 0.0)), weights_K)
            key = tl.where(is_best, _NEVER, key)
        if RENORMALIZES:
            weights_K = weights_K / tl.sum(tl.where(is_place, weights_K, 0.0), axis=0)
        weights_K = (weights_K * scaling).to(weights_TK.dtype.element_ty).to(tl.float32)
        is_theirs = tl.max((ids_K[:, None] == theirs_K[None, :]).to(tl.int32), axis=1)
        changed = tl.max(tl.where(is_place, 1 - is_theirs, 0), axis=0)

    if scales:
        factor = tl.load(scale_SE + slot * slot_stride + tl.maximum(ids_K, 0), mask=is_place, other=1.0)
        before = tl.sum(tl.where(is_place, weights_K, 0.0), axis=0)
        weights_K = weights_K * factor
        after = tl.sum(tl.where(is_place, weights_K, 0.0), axis=0)
        back = tl.where(after != 0.0, before / tl.where(after != 0.0, after, 1.0), 1.0)
        weights_K = weights_K * tl.where(tl.load(renormalize_S + slot) != 0, back, 1.0)

    weights_K = weights_K.to(weights_TK.dtype.element_ty).to(tl.float32)
    if selects | scales:
        tl.store(ids_TK + token * ids_stride + place, ids_K, mask=is_place)
        tl.store(weights_TK + token * weights_stride + place, weights_K, mask=is_place)
    tl.store(log_ids_TK + token * log_stride + place, ids_K, mask=is_place)
    tl.store(log_weights_TK + token * log_stride + place, weights_K, mask=is_place)
    tl.store(log_changed_T + token, changed != 0)


@triton.jit
def _sum(values):
    return tl.sum(tl.sum(values, axis=1), axis=0)


@triton.jit
def _softplus(values):
    """log(1 + exp(x)), linear above 20 as torch's; exact where 1 + exp(x) rounds to 1 (Goldberg, 1991, theorem 4)."""
    power = tl.exp(tl.minimum(values, 20.0))
    total = 1.0 + power
    small = tl.where(total == 1.0, power, tl.log(total) * power / tl.where(total == 1.0, 1.0, total - 1.0))
    return tl.where(values > 20.0, values, small)


@triton.jit
def _sortable(values):
    """int64 with the float32's order in its upper half, and 0 below."""
    bits = values.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) << 32


@triton.jit
def _keep_best_groups(
    choice, N: tl.constexpr, M: tl.constexpr, TOP_N: tl.constexpr, HAS_BIAS: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """See `reference._keep_best_groups`."""
    group = tl.arange(0, BLOCK_N)
    value = tl.max(choice, axis=1)
    if HAS_BIAS and M > 1:
        first = tl.argmax(choice, axis=1)
        member = tl.arange(0, BLOCK_M)[None, :]
        second = tl.max(tl.where(member == first[:, None], float("-inf"), choice), axis=1)
        value = value + tl.where(second == float("-inf"), 0.0, second)
    key = tl.where(group < N, _sortable(value) + (0x7FFFFFFF - group), _NEVER)
    is_kept = tl.zeros([BLOCK_N], dtype=tl.int32)
    for _ in tl.static_range(TOP_N):
        best = tl.max(key, axis=0)
        is_kept = tl.where(key == best, 1, is_kept)
        key = tl.where(key == best, _NEVER, key)
    return tl.where(is_kept[:, None] == 1, choice, float("-inf"))
