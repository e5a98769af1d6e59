"""The MoE layers of a transformers model, found without knowing its architecture.

Written for transformers 5; leans on `_can_record_outputs["router_logits"]` of the model classes, whose target is the
module that gives the logits, and on experts modules called as `forward(hidden, top_k_index, top_k_weights)`.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from polyglyph.analysis.offline.errors import UnreadableModelError

EXPERTS_ARGUMENTS = 3
"""Hidden states, experts and weights: what an experts module is called with."""


@dataclass(frozen=True, eq=False)
class MoeLayer:
    """One MoE layer.

    Attributes:
        layer: Index among the MoE layers.
        name: The experts module's name.
        router: The module that gives the logits.
        router_name: Its name.
        logits_index: Where they are in its output; without meaning where that is no tuple.
        experts: The module that computes the experts.
        weight: The router's weight [E, H].
    """

    layer: int
    name: str
    router: nn.Module
    router_name: str
    logits_index: int
    experts: nn.Module
    weight: nn.Parameter

    @property
    def num_experts(self) -> int:
        """E."""
        return int(self.weight.shape[0])

    def logits_of(self, output: Any) -> Tensor:
        """Give the logits [T, E] out of the router's output."""
        logits: Tensor = output[self.logits_index] if isinstance(output, tuple | list) else output
        return logits.reshape(-1, logits.shape[-1])

    def router_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Give the parameters that decide the routing, by their names in the model."""
        # Where the whole block is what transformers records, only the weight is certain to be the router's.
        is_block = any(module is self.experts for module in self.router.modules())
        for name, parameter in self.router.named_parameters():
            if not is_block or parameter is self.weight:
                yield f"{self.router_name}.{name}", parameter


def find_layers(model: nn.Module) -> tuple[MoeLayer, ...]:
    """Find the MoE layers in the order of the model.

    Raises:
        UnreadableModelError: There is none, or one whose router cannot be found; the text names the class.
    """
    recorded = _recorded(model)
    layers: list[MoeLayer] = []
    for name, experts in model.named_modules():
        if _is_experts(experts):
            block_name = name.rpartition(".")[0]
            router_name, router, index = _router(model.get_submodule(block_name), block_name, recorded, model)
            weight = _weight(router, experts, name)
            layers.append(MoeLayer(len(layers), name, router, router_name, index, experts, weight))
    if not layers:
        raise UnreadableModelError(
            f"{type(model).__name__}: expected a Mixture-of-Experts model whose experts are called as "
            "forward(hidden, top_k_index, top_k_weights), found no such module: it is dense, or routes in its own way"
        )
    return tuple(layers)


@dataclass(frozen=True)
class _Recorded:
    target: type[nn.Module]
    index: int
    layer_name: str | None

    def is_target(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, self.target) and (self.layer_name is None or self.layer_name in name)


def _recorded(model: nn.Module) -> list[_Recorded]:
    """Give what transformers itself records as router logits."""
    found: list[_Recorded] = []
    for module in model.modules():
        given = (getattr(module, "_can_record_outputs", None) or {}).get("router_logits", [])
        for each in given if isinstance(given, list) else [given]:
            if isinstance(each, type):
                found.append(_Recorded(each, 0, None))
            else:
                found.append(_Recorded(each.target_class, each.index, each.layer_name))
    return found


def _is_experts(module: nn.Module) -> bool:
    """Tell an experts module: weights of all experts in one tensor, and a forward with experts and weights."""
    if not any(parameter.ndim == 3 for parameter in module.parameters(recurse=False)):
        return False
    arguments = inspect.signature(type(module).forward).parameters
    return len(arguments) == 1 + EXPERTS_ARGUMENTS


def _router(
    block: nn.Module, block_name: str, recorded: list[_Recorded], model: nn.Module
) -> tuple[str, nn.Module, int]:
    for child_name, child in block.named_modules():
        full_name = f"{block_name}.{child_name}" if child_name else block_name
        for each in recorded:
            if each.is_target(child, full_name):
                return full_name, child, each.index
    names = sorted({each.target.__name__ for each in recorded})
    raise UnreadableModelError(
        f"{type(model).__name__}, {block_name} ({type(block).__name__}): found its experts but no router whose logits "
        f"transformers records (it records {', '.join(names) or 'none'}); its routing cannot be read offline"
    )


def _weight(router: nn.Module, experts: nn.Module, name: str) -> nn.Parameter:
    inside = {id(parameter) for parameter in experts.parameters()}
    num_experts = next(parameter.shape[0] for parameter in experts.parameters(recurse=False) if parameter.ndim == 3)
    found = [
        parameter
        for parameter_name, parameter in router.named_parameters()
        if parameter.ndim == 2 and parameter_name.endswith("weight") and id(parameter) not in inside
    ]
    # A router may also score experts that compute nothing, and then has more rows.
    for parameter in sorted(found, key=lambda each: each.shape[0] != num_experts):
        return parameter
    raise UnreadableModelError(
        f"{name}: its router {type(router).__name__} has no weight of shape [experts, hidden], so plans cannot be bound"
    )
