"""Steer one MoE layer's selection: edit logits, select, weigh, merge into vLLM's own by row, and log the outcome."""

import torch
from torch import Tensor

from polyglyph.kernels.choice import chosen, load
from polyglyph.kernels.steer_route.edits import LayerEdits
from polyglyph.kernels.steer_route.layer import LayerSteering
from polyglyph.kernels.steer_route.log import RouteLog
from polyglyph.kernels.steer_route.rule import SelectionRule
from polyglyph.kernels.steer_route.scores import router_scores, runner_up

__all__ = [
    "LayerEdits",
    "LayerSteering",
    "RouteLog",
    "SelectionRule",
    "implementation_name",
    "router_scores",
    "runner_up",
    "steering_of",
]


def steering_of(rule: SelectionRule, *, slot_T: Tensor, edits: LayerEdits, log: RouteLog) -> LayerSteering:
    """Bind a layer's kernel to its tensors; see `LayerSteering`."""
    module = load("steer_route", implementation_name(rule, slot_T.device))
    bound: LayerSteering = module.LayerSteering(slot_T=slot_T, edits=edits, rule=rule, log=log)
    return bound


def implementation_name(rule: SelectionRule, device: torch.device) -> str:
    """Name what runs a layer: a model's own selection is called from plain torch, whatever else is chosen."""
    return "reference" if rule.scoring == "custom" else chosen("steer_route", device)
