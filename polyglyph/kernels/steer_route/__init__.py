"""Steer one MoE layer's selection: edit logits, select, weigh, and merge into vLLM's own by row."""

from polyglyph.kernels.steer_route.edits import LayerEdits
from polyglyph.kernels.steer_route.reference import Routed, steer_route
from polyglyph.kernels.steer_route.rule import SelectionRule

__all__ = ["LayerEdits", "Routed", "SelectionRule", "steer_route"]
