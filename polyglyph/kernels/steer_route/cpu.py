"""`steer_route` for CPU tensors: one pass over the tokens, compiled by Numba.

What is fixed goes to the compiled code as addresses, in one array made once: between the layers of a model the caches
are cold, and handing over a dozen arrays takes longer than what is done with them.

Letters: T tokens, E experts, K selected experts, S slots, N groups of experts.
"""

from typing import Any

import numpy as np
import torch
from numba import carray
from numpy.typing import NDArray
from torch import Tensor

from polyglyph.kernels.arrays import Arrays
from polyglyph.kernels.compiled import compiled, pointer
from polyglyph.kernels.steer_route import layer
from polyglyph.kernels.steer_route.edits import BANNED, FORCED

Array = NDArray[Any]
_READ = (torch.int32, torch.int64)
_SCORINGS = {"softmax": 0, "sigmoid": 1, "sqrtsoftplus": 2}
_SIGMOID, _SQRTSOFTPLUS = 1, 2
_SOFTPLUS_IS_LINEAR_ABOVE = 20.0
"""As torch's softplus."""
(
    _E,
    _K,
    _S,
    _SLOT,
    _ADD,
    _STD,
    _FLAGS,
    _SCALE,
    _EDIT_WIDTH,
    _EDITS_LOGITS,
    _SCALES,
    _RENORMALIZE,
    _SCORING,
    _BIAS,
    _NUM_GROUPS,
    _TOP_GROUPS,
    _RENORMALIZES,
    _LOG_IDS,
    _LOG_WEIGHTS,
    _LOG_WIDTH,
    _CHANGED,
) = range(21)
"""Places of what a layer's kernel is bound to: sizes and addresses."""


class LayerSteering(layer.LayerSteering):
    """See `polyglyph.kernels.steer_route.layer`."""

    def __init__(self, **bound: Any) -> None:
        super().__init__(**bound)
        edits, rule, log = self.edits, self.rule, self.log
        self._scaling = float(rule.scaling)
        self._num_experts = edits.add_SE.shape[1]
        self._bound = np.empty(21, np.int64)
        self._bound[[_E, _K, _S]] = edits.add_SE.shape[1], rule.top_k, len(edits.add_SE)
        self._bound[[_SCORING, _NUM_GROUPS, _TOP_GROUPS, _RENORMALIZES]] = (
            _SCORINGS[rule.scoring],
            rule.num_groups,
            rule.top_groups,
            rule.renormalize,
        )
        self._bound[[_EDIT_WIDTH, _LOG_WIDTH]] = edits.add_SE.stride(0), log.ids_TK.stride(0)
        for place, tensor in {
            _SLOT: self.slot_T,
            _ADD: edits.add_SE,
            _STD: edits.std_SE,
            _FLAGS: edits.flags_SE,
            _SCALE: edits.scale_SE,
            _EDITS_LOGITS: edits.edits_logits_S,
            _SCALES: edits.scales_S,
            _RENORMALIZE: edits.renormalize_S,
            _BIAS: rule.bias_E,
            _LOG_IDS: log.ids_TK,
            _LOG_WEIGHTS: log.weights_TK,
            _CHANGED: log.changed_T,
        }.items():
            assert tensor is None or tensor.shape[-1] == 1 or tensor.stride(-1) == 1
            self._bound[place] = 0 if tensor is None else tensor.data_ptr()

    def steer(self, logits_TE: Tensor, weights_TK: Tensor, ids_TK: Tensor, hidden_TH: Tensor) -> None:  # noqa: ARG002
        """See `polyglyph.kernels.steer_route.layer`."""
        assert logits_TE.shape[1] == self._num_experts
        logits, weights, ids = logits_TE.float().contiguous(), weights_TK.float().contiguous(), self._whole(ids_TK)
        num_tokens = len(ids)
        steer = _steer_int32 if ids.dtype == torch.int32 else _steer_int64
        steer(self._bound, self._scaling, num_tokens, logits.data_ptr(), weights.data_ptr(), ids.data_ptr())
        if ids is not ids_TK:
            ids_TK.copy_(ids)
        if weights is not weights_TK:
            weights_TK.copy_(weights)
            self.log.weights_TK[:num_tokens, : self.rule.top_k] = weights_TK

    def log_selection(self, weights_TK: Tensor, ids_TK: Tensor) -> None:
        """See `polyglyph.kernels.steer_route.layer`."""
        weights, ids = weights_TK.float().contiguous(), self._whole(ids_TK)
        log = _log_int32 if ids.dtype == torch.int32 else _log_int64
        log(self._bound, len(ids), weights.data_ptr(), ids.data_ptr())

    def _whole(self, ids_TK: Tensor) -> Tensor:
        """Give ids that compiled code can read by address; it checks neither sizes nor dtypes, so it is done here."""
        num_tokens, top_k = ids_TK.shape
        assert top_k == self.rule.top_k
        assert num_tokens <= len(self.slot_T)
        return (ids_TK if ids_TK.dtype in _READ else ids_TK.long()).contiguous()


@compiled
def _steer_int32(bound: Array, scaling: float, num_tokens: int, logits: int, weights: int, ids: int) -> None:
    ids_TK = carray(pointer(ids), (num_tokens, bound[_K]), np.int32)
    _steer(bound, scaling, logits, weights, ids_TK)


@compiled
def _steer_int64(bound: Array, scaling: float, num_tokens: int, logits: int, weights: int, ids: int) -> None:
    ids_TK = carray(pointer(ids), (num_tokens, bound[_K]), np.int64)
    _steer(bound, scaling, logits, weights, ids_TK)


@compiled
def _log_int32(bound: Array, num_tokens: int, weights: int, ids: int) -> None:
    _write(bound, weights, carray(pointer(ids), (num_tokens, bound[_K]), np.int32))


@compiled
def _log_int64(bound: Array, num_tokens: int, weights: int, ids: int) -> None:
    _write(bound, weights, carray(pointer(ids), (num_tokens, bound[_K]), np.int64))


@compiled
def _write(bound: Array, weights: int, ids_TK: Array) -> None:
    weights_TK, log = carray(pointer(weights), ids_TK.shape, np.float32), _log(bound, len(ids_TK))
    for token in range(len(ids_TK)):
        _write_token(token, weights_TK[token], ids_TK[token], log)
        log[2][token] = False


@compiled
def _log(bound: Array, num_tokens: int) -> Arrays:
    shape = (num_tokens, bound[_LOG_WIDTH])
    return (
        carray(pointer(bound[_LOG_IDS]), shape, np.int32),
        carray(pointer(bound[_LOG_WEIGHTS]), shape, np.float32),
        carray(pointer(bound[_CHANGED]), (num_tokens,), np.bool_),
    )


@compiled
def _write_token(token: int, weights_K: Array, ids_K: Array, log: Arrays) -> None:
    log_ids_TK, log_weights_TK, _ = log
    for place in range(len(ids_K)):
        log_ids_TK[token, place], log_weights_TK[token, place] = ids_K[place], weights_K[place]


@compiled
def _steer(bound: Array, scaling: float, logits: int, weights: int, ids_TK: Array) -> None:
    num_tokens, num_experts, num_slots = len(ids_TK), bound[_E], bound[_S]
    logits_TE = carray(pointer(logits), (num_tokens, num_experts), np.float32)
    weights_TK = carray(pointer(weights), ids_TK.shape, np.float32)
    slot_T = carray(pointer(bound[_SLOT]), (num_tokens,), np.int32)
    shape = (num_slots, bound[_EDIT_WIDTH])
    add_SE = carray(pointer(bound[_ADD]), shape, np.float32)
    std_SE = carray(pointer(bound[_STD]), shape, np.float32)
    flags_SE = carray(pointer(bound[_FLAGS]), shape, np.uint8)
    scale_SE = carray(pointer(bound[_SCALE]), shape, np.float32)
    edits_logits_S = carray(pointer(bound[_EDITS_LOGITS]), (num_slots,), np.bool_)
    scales_S = carray(pointer(bound[_SCALES]), (num_slots,), np.bool_)
    renormalize_S = carray(pointer(bound[_RENORMALIZE]), (num_slots,), np.bool_)
    bias_E = carray(pointer(bound[_BIAS]), (num_experts if bound[_BIAS] else 0,), np.float32)
    groups = bound[_NUM_GROUPS], bound[_TOP_GROUPS]
    rule = (bound[_SCORING], bias_E, groups[0], groups[1], bound[_RENORMALIZES], np.float32(scaling))
    log = _log(bound, num_tokens)
    changed_T = log[2]
    edited_E = np.empty(num_experts, np.float32)
    score_E, choice_E = np.empty_like(edited_E), np.empty_like(edited_E)
    own_K = np.empty(ids_TK.shape[1], ids_TK.dtype)
    for token in range(num_tokens):
        slot, weights_K, ids_K = slot_T[token], weights_TK[token], ids_TK[token]
        changed_T[token] = False
        if edits_logits_S[slot]:
            flags_E = flags_SE[slot]
            _edit(logits_TE[token], add_SE[slot], std_SE[slot], flags_E, edited_E)
            _score(edited_E, rule, score_E)
            _rank(edited_E, score_E, flags_E, rule, choice_E)
            _take_best(choice_E, own_K)
            changed_T[token] = _differs(own_K, ids_K)
            ids_K[:] = own_K
            _weigh(score_E, ids_K, rule, weights_K)
        if scales_S[slot]:
            before, after = _scale(scale_SE[slot], ids_K, weights_K)
            if renormalize_S[slot] and after != 0:
                weights_K *= np.float32(before / after)
        _write_token(token, weights_K, ids_K, log)


@compiled
def _edit(logits_E: Array, add_E: Array, std_E: Array, flags_E: Array, edited_E: Array) -> None:
    """Write the edited logits: see `reference.edit_logits`."""
    mean = 0.0
    for logit in logits_E:
        mean += logit
    mean /= len(logits_E)
    squares = 0.0
    for logit in logits_E:
        squares += (logit - mean) ** 2
    deviation = np.float32(np.sqrt(squares / len(logits_E)))
    largest = np.float32(-np.inf)
    for expert in range(len(logits_E)):
        edited = logits_E[expert] + add_E[expert] + std_E[expert] * deviation
        if flags_E[expert] & BANNED:
            edited = np.float32(-np.inf)
        largest = max(largest, edited)
        edited_E[expert] = edited
    for expert in range(len(logits_E)):
        if flags_E[expert] & FORCED:
            edited_E[expert] = largest


@compiled
def _score(edited_E: Array, rule: tuple[Any, ...], score_E: Array) -> None:
    """Write the router's scores: see `scores.router_scores`."""
    scoring = rule[0]
    if scoring == _SIGMOID:
        for expert in range(len(edited_E)):
            score_E[expert] = 1 / (1 + np.exp(-edited_E[expert]))
        return
    if scoring == _SQRTSOFTPLUS:
        for expert in range(len(edited_E)):
            logit = edited_E[expert]
            score_E[expert] = np.sqrt(logit if logit > _SOFTPLUS_IS_LINEAR_ABOVE else np.log1p(np.exp(logit)))
        return
    largest, total = edited_E.max(), 0.0
    for expert in range(len(edited_E)):
        score_E[expert] = np.exp(edited_E[expert] - largest)
        total += score_E[expert]
    for expert in range(len(edited_E)):
        score_E[expert] /= total


@compiled
def _rank(edited_E: Array, score_E: Array, flags_E: Array, rule: tuple[Any, ...], choice_E: Array) -> None:
    """Write what the choice goes by: bans and forces are certain, experts outside the best groups out of it."""
    scoring, bias_E, num_groups, top_groups = rule[0], rule[1], rule[2], rule[3]
    for expert in range(len(choice_E)):
        if flags_E[expert] & BANNED:
            choice_E[expert] = -np.inf
        elif flags_E[expert] & FORCED:
            choice_E[expert] = np.inf
        elif len(bias_E):
            choice_E[expert] = score_E[expert] + bias_E[expert]
        else:
            # Softmax keeps the order, and so do logits whose scores are rounded to the same number.
            choice_E[expert] = score_E[expert] if scoring else edited_E[expert]
    if num_groups > 1:
        _keep_best_groups(choice_E, num_groups, top_groups, bias_E)


@compiled
def _keep_best_groups(choice_E: Array, num_groups: int, top_groups: int, bias_E: Array) -> None:
    """See `reference._keep_best_groups`."""
    size = len(choice_E) // num_groups
    value_N = np.empty(num_groups, np.float32)
    for group in range(num_groups):
        first = second = np.float32(-np.inf)
        for choice in choice_E[group * size : (group + 1) * size]:
            if choice > first:
                first, second = choice, first
            elif choice > second:
                second = choice
        value_N[group] = first + second if len(bias_E) and second > -np.inf else first
    best = np.empty(top_groups, np.int64)
    _take_best(value_N, best)
    for group in range(num_groups):
        if not (best == group).any():
            choice_E[group * size : (group + 1) * size] = -np.inf


@compiled
def _take_best(choice_E: Array, best: Array) -> None:
    """Write the indices of the largest, best first, the lower index of equals; NaN is larger than all, as in torch."""
    num_found = 0
    for index in range(len(choice_E)):
        choice = choice_E[index]
        if num_found < len(best):
            num_found += 1
        elif not _beats(choice, choice_E[best[-1]]):
            continue
        place = num_found - 1
        while place > 0 and _beats(choice, choice_E[best[place - 1]]):
            best[place] = best[place - 1]
            place -= 1
        best[place] = index


@compiled
def _beats(choice: float, other: float) -> bool:
    return choice > other or (np.isnan(choice) and not np.isnan(other))


@compiled
def _holds(ids: Array, wanted: int) -> bool:
    for index in range(len(ids)):  # noqa: SIM110 - Numba compiles no generators
        if ids[index] == wanted:
            return True
    return False


@compiled
def _differs(ids_K: Array, others_K: Array) -> bool:
    for index in range(len(ids_K)):  # noqa: SIM110 - Numba compiles no generators
        if not _holds(others_K, ids_K[index]):
            return True
    return False


@compiled
def _weigh(score_E: Array, ids_K: Array, rule: tuple[Any, ...], weights_K: Array) -> None:
    total = 0.0
    for place in range(len(ids_K)):
        weights_K[place] = score_E[ids_K[place]]
        total += weights_K[place]
    for place in range(len(ids_K)):
        weights_K[place] = (weights_K[place] / total if rule[4] else weights_K[place]) * rule[5]


@compiled
def _scale(scale_E: Array, ids_K: Array, weights_K: Array) -> tuple[float, float]:
    """Multiply each weight by its expert's factor; give their sums before and after."""
    before = after = 0.0
    for place in range(len(ids_K)):
        before += weights_K[place]
        weights_K[place] *= scale_E[max(ids_K[place], 0)]
        after += weights_K[place]
    return before, after
