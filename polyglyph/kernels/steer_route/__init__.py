"""Steer one MoE layer's selection: edit logits, select, weigh, and merge into vLLM's own by row."""

from polyglyph.kernels.steer_route.edits import LayerEdits
from polyglyph.kernels.steer_route.reference import Routed, steer_route
from polyglyph.kernels.steer_route.rule import SelectionRule
from polyglyph.kernels.steer_route.scores import router_scores, runner_up

__all__ = ["LayerEdits", "Routed", "SelectionRule", "router_scores", "runner_up", "steer_route"]
