"""The custom operator in every hooked router: opaque to torch.compile, so that nothing of it is baked at trace time.

This module holds the one piece of module-level state that vLLM's plugin loading forces on us: an operator has no
object of its own, so it finds the worker's layers here.
"""

import torch
from torch import Tensor

from polyglyph.routing.layers import RoutedLayers

_LIBRARY = torch.library.Library("polyglyph", "FRAGMENT")
_installed: list[RoutedLayers] = []


def install_layers(layers: RoutedLayers) -> None:
    """Make the operator act on these layers; a worker process has one model."""
    _installed[:] = [layers]


def _route(logits: Tensor, weights: Tensor, ids: Tensor, hidden: Tensor, layer: int) -> None:
    _installed[0].route(layer, logits, weights, ids, hidden)


def _route_fake(logits: Tensor, weights: Tensor, ids: Tensor, hidden: Tensor, layer: int) -> None:
    """Give nothing: what the operator does, it does in place."""


_LIBRARY.define("route(Tensor logits, Tensor(a!) weights, Tensor(b!) ids, Tensor hidden, int layer) -> ()")
_LIBRARY.impl("route", _route, "CompositeExplicitAutograd")
torch.library.register_fake("polyglyph::route", _route_fake, lib=_LIBRARY)

route = torch.ops.polyglyph.route.default
"""(logits [T, E], weights [T, K], ids [T, K], hidden [T, H], layer): writes weights and ids of steered rows."""
