"""The hook in every router of the loaded model.

Written for vLLM 0.32 and 0.33; leans on `MoERunner.router`, `BaseRouter._compute_routing` (which gives logical expert
ids, before EPLB maps them), `compilation_config.static_forward_context`, and `MixtureOfExperts.num_moe_layers`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from polyglyph.contract.errors import UnsupportedModelError
from polyglyph.contract.fingerprint import model_fingerprint
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.kernels.steer_route import SelectionRule, implementation_name
from polyglyph.routing import operator
from polyglyph.routing.compat.router_weights import take_router_bytes
from polyglyph.routing.compat.routers import describe_router, probe_custom
from polyglyph.routing.reports import LayerHook

_MARK = "__polyglyph_layer__"
REMEDY = "serve it with plain vLLM (POLYGLYPH_DISABLE=1), or serve a Mixture-of-Experts model that vLLM routes itself"


class ModelHooks:
    """The MoE layers of one worker's model, described and hooked.

    Args:
        model: The target model after loading; draft models stay out.
        vllm_config: The engine's configuration.

    Raises:
        UnsupportedModelError: A dense model, or one whose routing is hidden or cannot be restated.
    """

    def __init__(self, model: nn.Module, vllm_config: Any) -> None:
        self._runners = list(_find_runners(model, vllm_config))
        self.expected_layers = _expected_layers(model, len(self._runners))
        self._check_complete(model)
        self.routers = [self._read(model, index, name, runner) for index, (name, runner) in enumerate(self._runners)]
        self.description = ModelDescription(
            binding=_bind(model, vllm_config, self._runners, [router for router, _ in self.routers]),
            routers=tuple(router for router, _ in self.routers),
        )

    def install(self) -> None:
        """Hook every router instance; classes stay untouched, so a draft model's routers do too."""
        for layer, (_, runner) in enumerate(self._runners):
            router = runner.router
            if not hasattr(router._compute_routing, _MARK):
                rule = self.routers[layer][1]
                router._compute_routing = _hooked(router._compute_routing, layer, is_fresh=rule.scoring != "custom")
            if getattr(router, "capture_fn", None) is None:
                # Some decode kernels skip the router unless somebody captures its ids.
                router.capture_fn = _ignore

    def report(self, has_run: Callable[[int], bool], *, device: torch.device) -> tuple[LayerHook, ...]:
        """Look at every layer as it is now.

        Args:
            has_run: Whether a layer's operator was executed.
            device: Where the model runs.
        """
        return tuple(
            LayerHook(
                layer=layer,
                name=name,
                in_place=getattr(runner.router._compute_routing, _MARK, None) == layer,
                has_run=has_run(layer),
                kernel=implementation_name(self.routers[layer][1], device),
            )
            for layer, (name, runner) in enumerate(self._runners)
        )

    def _check_complete(self, model: nn.Module) -> None:
        name = type(model).__name__
        if not self._runners:
            raise UnsupportedModelError(
                f"{name} has no Mixture-of-Experts layer whose router vLLM runs; Polyglyph has nothing to "
                f"steer; {REMEDY}"
            )
        if self.expected_layers != len(self._runners):
            raise UnsupportedModelError(
                f"{name} has {self.expected_layers} MoE layers, but the routers of only {len(self._runners)} can be "
                f"reached; the others route inside their own kernels; {REMEDY}"
            )

    def _read(self, model: nn.Module, index: int, name: str, runner: Any) -> tuple[RouterDescription, SelectionRule]:
        if runner.is_monolithic:
            raise UnsupportedModelError(
                f"{name}: its experts' kernel routes inside itself, where no hook reaches; choose another MoE backend "
                "or quantisation"
            )
        if type(model).__module__.startswith("vllm.model_executor.models.transformers"):
            raise UnsupportedModelError(
                f"{type(model).__name__}: vLLM's Transformers backend hands over weights in place of logits; {REMEDY}"
            )
        description, rule = describe_router(
            runner.router, layer=index, model_layer=_layer_number(name, index), name=name
        )
        if rule.scoring == "custom":
            ops = probe_custom(
                rule,
                num_experts=description.experts,
                hidden_size=runner.moe_config.hidden_dim,
                device=next(model.parameters()).device,
                dtype=runner.moe_config.in_dtype,
            )
            description = description.model_copy(update={"ops": ops})
        return description, rule


def _hooked(
    original: Callable[..., tuple[Tensor, Tensor]], layer: int, *, is_fresh: bool
) -> Callable[..., tuple[Tensor, Tensor]]:
    def compute_routing(
        hidden_states: Tensor, router_logits: Tensor, indices_type: torch.dtype | None, *, input_ids: Any = None
    ) -> tuple[Tensor, Tensor]:
        weights, ids = original(hidden_states, router_logits, indices_type, input_ids=input_ids)
        if not is_fresh:
            # A model's own function may give what it keeps, or a view.
            weights, ids = _copy(weights), _copy(ids)
        operator.route(router_logits, weights, ids, hidden_states, layer)
        return weights, ids

    setattr(compute_routing, _MARK, layer)
    return compute_routing


def _copy(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


def _ignore(ids: Tensor) -> None:
    """Stand in the capture slot."""


def _find_runners(model: nn.Module, vllm_config: Any) -> Iterator[tuple[str, Any]]:
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

    ours = {id(module): name for name, module in model.named_modules() if isinstance(module, MoERunner)}
    for module in vllm_config.compilation_config.static_forward_context.values():
        if isinstance(module, MoERunner) and id(module) in ours:
            yield ours[id(module)], module


def _expected_layers(model: nn.Module, found: int) -> int:
    from vllm.model_executor.models.interfaces import is_mixture_of_experts

    return int(model.num_moe_layers) if is_mixture_of_experts(model) else found


def _layer_number(name: str, index: int) -> int:
    numbers = [int(part) for part in name.split(".") if part.isdigit()]
    return numbers[0] if numbers else index


def _bind(
    model: nn.Module, vllm_config: Any, runners: list[tuple[str, Any]], routers: list[RouterDescription]
) -> ModelBinding:
    architecture = (vllm_config.model_config.hf_config.architectures or [type(model).__name__])[0]
    layers, experts = len(routers), max(router.experts for router in routers)
    top_k = max(router.top_k for router in routers)
    weights = [take_router_bytes(name, runner) for name, runner in runners]
    return ModelBinding(
        architecture=architecture,
        layers=layers,
        experts=experts,
        top_k=top_k,
        fingerprint=model_fingerprint(architecture, layers, experts, top_k, weights),
    )
