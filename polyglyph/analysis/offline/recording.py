"""Records what routers decide while a model runs.

Letters of shapes: T tokens of a forward pass, padding included, E experts, K selected, H hidden size.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from polyglyph.analysis.offline.errors import UnreadableModelError
from polyglyph.analysis.offline.moe_layer import EXPERTS_ARGUMENTS, MoeLayer


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One MoE layer in one forward pass.

    Attributes:
        logits_TE: The router's logits as the model computes them, before any bias of the selection.
        ids_TK: int64 selected experts, in the model's order.
        weights_TK: Their routing weights.
        hidden_TH: What the experts were given.
        output_TH: What they gave together.
    """

    logits_TE: Tensor
    ids_TK: Tensor
    weights_TK: Tensor
    hidden_TH: Tensor
    output_TH: Tensor

    def only(self, keep_T: Tensor) -> "LayerRecord":
        """Give the tokens that are to be kept."""
        return LayerRecord(
            self.logits_TE[keep_T],
            self.ids_TK[keep_T],
            self.weights_TK[keep_T],
            self.hidden_TH[keep_T],
            self.output_TH[keep_T],
        )


@dataclass(eq=False)
class Recording:
    """The layers of the last forward pass, in order."""

    layers: dict[int, LayerRecord] = field(default_factory=dict)
    logits: dict[int, Tensor] = field(default_factory=dict)

    def take(self) -> list[LayerRecord]:
        """Give the last pass's records, and forget them."""
        taken = [record for _, record in sorted(self.layers.items())]
        self.layers.clear()
        self.logits.clear()
        return taken


@contextmanager
def recording(layers: Sequence[MoeLayer]) -> Iterator[Recording]:
    """Record every forward pass within the block; gradients stay as they are.

    Raises:
        UnreadableModelError: An experts module is not called with hidden states, experts and weights.
    """
    recorded = Recording()
    hooks = []
    for layer in layers:
        hooks.append(layer.router.register_forward_hook(partial(_keep_logits, recorded, layer)))
        hooks.append(layer.experts.register_forward_hook(partial(_keep_layer, recorded, layer), with_kwargs=True))
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()


def _keep_logits(recorded: Recording, layer: MoeLayer, _module: nn.Module, _args: Any, output: Any) -> None:
    recorded.logits[layer.layer] = layer.logits_of(output)


def _keep_layer(  # noqa: PLR0917 - torch calls it with the last four
    recorded: Recording, layer: MoeLayer, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> None:
    hidden, ids, weights = _called_with(module, args, kwargs)
    if ids.ndim != 2 or ids.is_floating_point() or ids.shape != weights.shape or hidden.shape[0] != ids.shape[0]:
        raise UnreadableModelError(
            f"{layer.name} ({type(module).__name__}): expected hidden states [T, H], experts [T, K] and weights "
            f"[T, K]; got {tuple(hidden.shape)}, {tuple(ids.shape)} of {ids.dtype} and {tuple(weights.shape)}"
        )
    if layer.layer not in recorded.logits:
        raise UnreadableModelError(
            f"{layer.name}: its router {type(layer.router).__name__} did not run before the experts did"
        )
    recorded.layers[layer.layer] = LayerRecord(recorded.logits[layer.layer], ids, weights, hidden, output)


def _called_with(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    given = (*args, *kwargs.values())
    if len(given) != EXPERTS_ARGUMENTS or not all(isinstance(each, Tensor) for each in given):
        raise UnreadableModelError(
            f"{type(module).__name__}: expected to be called with hidden states, experts and weights, "
            f"got {len(given)} arguments"
        )
    hidden, first, second = given
    # GPT-OSS and its like may name them in any order; whole numbers are the experts.
    ids, weights = (second, first) if first.is_floating_point() else (first, second)
    return hidden, ids, weights
