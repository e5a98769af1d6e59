"""vLLM's router classes, read as selection rules.

Written for vLLM 0.32 and 0.33; leans on `model_executor.layers.fused_moe.router.*` and their attributes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polyglyph.contract.errors import UnsupportedModelError
from polyglyph.contract.model import ALL_OPS, Op, RouterDescription, RouterKind
from polyglyph.kernels.steer_route import RouteLog, SelectionRule, steering_of
from polyglyph.kernels.steer_route.edits import BANNED, FORCED, LayerEdits
from polyglyph.kernels.steer_route.rule import Scoring

_PROBE_TOKENS = 64


def describe_router(router: Any, *, layer: int, model_layer: int, name: str) -> tuple[RouterDescription, SelectionRule]:
    """Read one layer's router.

    Args:
        router: An instance of vLLM's `BaseRouter`.
        layer: Index among the MoE layers.
        model_layer: The model's own layer number.
        name: The layer's module name, for messages.

    Raises:
        UnsupportedModelError: A router whose selections cannot be read or restated.
    """
    reader = _READERS.get(type(router).__name__)
    if reader is None:
        raise UnsupportedModelError(
            f"{name}: router class {type(router).__name__} is not one that Polyglyph can read; it reads "
            f"{', '.join(sorted(_READERS))}"
        )
    if getattr(router, "num_fused_shared_experts", 0):
        raise UnsupportedModelError(f"{name}: shared experts fused into the router's output cannot be told apart")
    kind, rule, ops = reader(router)
    description = RouterDescription(
        layer=layer,
        model_layer=model_layer,
        name=name,
        kind=kind,
        experts=router.global_num_experts,
        top_k=router.top_k,
        groups=rule.num_groups,
        top_groups=rule.top_groups,
        biased=rule.bias_E is not None,
        renormalize=rule.renormalize,
        ops=ops,
    )
    return description, rule


def probe_custom(
    rule: SelectionRule, *, num_experts: int, hidden_size: int, device: torch.device, dtype: torch.dtype
) -> tuple[Op, ...]:
    """Find out which operations a model's own selection honours, by trying it on random logits.

    Args:
        rule: A rule with `scoring="custom"`.
        num_experts: E.
        hidden_size: H of the layer's input.
        device: Where the model runs.
        dtype: Dtype of the layer's input.

    Returns:
        `scale` always, since it acts on the weights; `add` and `add_std` when a push of the logits changes who is
        chosen as it must; `ban` and `force` when each held for every probed token.
    """
    generator = torch.Generator(device="cpu").manual_seed(0)
    logits = torch.randn(_PROBE_TOKENS, num_experts, generator=generator).to(device)
    hidden = torch.randn(_PROBE_TOKENS, hidden_size, generator=generator).to(device=device, dtype=dtype)
    assert rule.custom is not None
    weights, ids = rule.custom(hidden, logits)
    targets = ids[:, 0].long()
    banned = _probe(rule, logits, weights, ids, hidden, flag=BANNED, experts=targets)
    last = logits.argmin(dim=-1)
    forced = _probe(rule, logits, weights, ids, hidden, flag=FORCED, experts=last)
    ban_holds = not (banned == targets.unsqueeze(1)).any()
    force_holds = bool((forced == last.unsqueeze(1)).any(dim=1).all())
    ops: list[Op] = []
    if ban_holds and force_holds:
        ops += ["add", "add_std", "force", "ban"]
    return (*ops, "scale")


def _probe(
    rule: SelectionRule, logits: Tensor, weights: Tensor, ids: Tensor, hidden: Tensor, *, flag: int, experts: Tensor
) -> Tensor:
    """Select with one flagged expert per token, each token in a slot of its own."""
    num_tokens, num_experts = logits.shape
    device = logits.device
    flags = torch.zeros(num_tokens, num_experts, dtype=torch.uint8, device=device)
    flags.scatter_(1, experts.unsqueeze(1), flag)
    zeros = torch.zeros(num_tokens, num_experts, device=device)
    everywhere = torch.ones(num_tokens, dtype=torch.bool, device=device)
    edits = LayerEdits(zeros, zeros, flags, zeros + 1, everywhere, ~everywhere, ~everywhere)
    slots = torch.arange(num_tokens, dtype=torch.int32, device=device)
    log = RouteLog(torch.empty_like(ids, dtype=torch.int32), torch.empty_like(weights), everywhere.clone())
    ids = ids.clone(memory_format=torch.contiguous_format)
    own = weights.clone(memory_format=torch.contiguous_format), ids
    steering_of(rule, slot_T=slots, edits=edits, log=log).steer(logits, *own, hidden)
    return ids


_Reading = tuple[RouterKind, SelectionRule, tuple[Op, ...]]


def _read_cpu(router: Any) -> _Reading:
    if router.use_grouped_topk:
        return _read_grouped(router)
    if router.scoring_func == "sqrtsoftplus":
        # vLLM always renormalises these to the scaling factor.
        return _read_scored(router, bias=router.e_score_correction_bias, scaling=router.routed_scaling_factor)
    if router.custom_routing_function is not None:
        return _read_custom(router)
    # CPURouter ignores bias and scaling outside the grouped and sqrtsoftplus branches.
    return "softmax", SelectionRule("softmax", router.top_k, renormalize=router.renormalize), ALL_OPS


def _read_grouped(router: Any) -> _Reading:
    rule = SelectionRule(
        _scoring(router.scoring_func),
        router.top_k,
        renormalize=router.renormalize,
        scaling=router.routed_scaling_factor,
        bias_E=_as_float(router.e_score_correction_bias),
        num_groups=router.num_expert_group,
        top_groups=router.topk_group,
    )
    return _scoring_kind(rule), rule, ALL_OPS


def _read_fused(router: Any) -> _Reading:
    rule = SelectionRule(_scoring(router.scoring_func), router.top_k, renormalize=router.renormalize)
    return _scoring_kind(rule), rule, ALL_OPS


def _read_biased(router: Any) -> _Reading:
    if getattr(router, "bias_vl", None) is not None:
        raise UnsupportedModelError("a router with a second bias for image tokens cannot be restated")
    return _read_scored(router, bias=router.e_score_correction_bias, scaling=router.routed_scaling_factor)


def _read_scored(router: Any, *, bias: Tensor | None, scaling: float) -> _Reading:
    rule = SelectionRule(
        _scoring(router.scoring_func),
        router.top_k,
        renormalize=router.renormalize,
        scaling=scaling,
        bias_E=_as_float(bias),
    )
    if getattr(router, "_hash_indices_table", None) is not None:
        # The token id decides who is chosen; only the weights can be steered.
        return "hash", rule, ("scale",)
    return _scoring_kind(rule), rule, ALL_OPS


def _read_custom(router: Any) -> _Reading:
    function = router.custom_routing_function

    def custom(hidden_TH: Tensor, logits_TE: Tensor) -> tuple[Tensor, Tensor]:
        weights, ids = function(
            hidden_states=hidden_TH, gating_output=logits_TE, topk=router.top_k, renormalize=router.renormalize
        )
        return weights, ids

    rule = SelectionRule("custom", router.top_k, renormalize=router.renormalize, custom=custom)
    return "custom", rule, ("scale",)


def _read_simulated(router: Any) -> _Reading:
    return "simulated", SelectionRule("softmax", router.top_k), ()


def _scoring(name: str) -> Scoring:
    for known in ("softmax", "sigmoid", "sqrtsoftplus"):
        if name == known:
            return known
    raise UnsupportedModelError(f"routers that score by '{name}' cannot be restated")


def _scoring_kind(rule: SelectionRule) -> RouterKind:
    return rule.scoring


def _as_float(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach().float()


_READERS: dict[str, Callable[[Any], _Reading]] = {
    "CPURouter": _read_cpu,
    "FusedTopKRouter": _read_fused,
    "FusedTopKBiasRouter": _read_biased,
    "GroupedTopKRouter": _read_grouped,
    "CustomRoutingRouter": _read_custom,
    "RoutingSimulatorRouter": _read_simulated,
}
